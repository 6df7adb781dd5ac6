// An authorisation server (npm: oidc-provider) on a free port of loopback.
//
// Says one line of JSON when it is ready.  What tokens it gives is asked for by the resource:
//   https://models.example           ES256 at+jwt
//   https://models.example/opaque    opaque, for introspection
// The client's certificate, which a TLS front would pass on, comes in the header `x-client-cert`, URL-encoded PEM.
import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'es-1', use: 'sig', alg: 'ES256' };
const AUDIENCE = 'https://models.example';
const counts = {};

const client = (id, more = {}) => ({
  client_id: id,
  client_secret: `${id}-secret-of-thirty-two-characters`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: 'ES256',
  ...more,
});

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    jwks: { keys: [jwk] },
    clients: [
      client('caller'),
      client('gateway'),
      client('certified', { tls_client_certificate_bound_access_tokens: true }),
    ],
    scopes: ['predict:read', 'predict:write'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        getCertificate(ctx) {
          const pem = ctx.get('x-client-cert');
          return pem ? new X509Certificate(decodeURIComponent(pem)) : undefined;
        },
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'predict:read predict:write',
          audience: AUDIENCE,
          accessTokenTTL: 600,
          accessTokenFormat: resource.endsWith('/opaque') ? 'opaque' : 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  server.on('request', (request, response) => {
    const path = request.url.split('?')[0];
    if (path === '/test/counts') {
      response.end(JSON.stringify(counts));
      return;
    }
    counts[path] = (counts[path] || 0) + 1;
    provider.callback()(request, response);
  });
  console.log(JSON.stringify({ issuer, audience: AUDIENCE }));
});

// The end of standard input is the end of the test run.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
