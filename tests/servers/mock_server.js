// An authorisation server whose keys can be changed while it runs (npm: oauth2-mock-server), on a free port of loopback.
//
// Says one line of JSON when it is ready.  Beside OAuth it answers:
//   POST /test/key?kid=K&alg=A    add a signing key            POST /test/forget?kid=K    take one out of the key set
//   POST /test/token?kid=K        sign the claims in the body, `typ` and all, as at+jwt
//   POST /test/fail?status=S      answer S to everything else; 0 to recover
//   GET  /test/counts             how often each path was asked for
import { createServer } from 'node:http';
import { OAuth2Server } from 'oauth2-mock-server';

const mock = new OAuth2Server();
const counts = {};
const forgotten = new Set();
let failing = 0;

const read = async (request) => {
  let text = '';
  for await (const piece of request) text += piece;
  return text ? JSON.parse(text) : {};
};

const TESTS = {
  '/test/counts': async () => counts,
  '/test/key': async (query) => {
    const key = await mock.issuer.keys.generate(query.get('alg') || 'ES256', { kid: query.get('kid') });
    return { kid: key.kid };
  },
  '/test/forget': async (query) => {
    forgotten.add(query.get('kid'));
    return {};
  },
  '/test/fail': async (query) => {
    failing = Number(query.get('status'));
    return {};
  },
  '/test/token': async (query, request) => {
    const claims = await read(request);
    const token = await mock.issuer.buildToken({
      kid: query.get('kid') || undefined,
      scopesOrTransform: (header, payload) => {
        header.typ = 'at+jwt';
        Object.assign(payload, claims);
      },
    });
    return { token };
  },
};

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://127.0.0.1');
  const test = TESTS[url.pathname];
  if (test) {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(await test(url.searchParams, request)));
    return;
  }
  counts[url.pathname] = (counts[url.pathname] || 0) + 1;
  if (failing) {
    response.statusCode = failing;
    response.end('{}');
    return;
  }
  if (url.pathname === '/jwks') {
    response.setHeader('content-type', 'application/json');
    const keys = mock.issuer.keys.toJSON().filter((key) => !forgotten.has(key.kid));
    response.end(JSON.stringify({ keys }));
    return;
  }
  mock.service.requestHandler(request, response);
});

server.listen(0, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  mock.issuer.url = issuer;
  await mock.issuer.keys.generate('RS256', { kid: 'first' });
  console.log(JSON.stringify({ issuer }));
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
