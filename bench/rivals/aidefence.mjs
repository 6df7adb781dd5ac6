// As judge.py, for a package of npm:  node aidefence.mjs FOLDER_OF_THE_PACKAGE
import { pathToFileURL } from "node:url";
import { readFileSync } from "node:fs";

const { createAIDefence } = await import(pathToFileURL(`${process.argv[2]}/dist/index.js`));
const defence = createAIDefence();
await defence.detect("Hello!");
const said = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  let us = Infinity;
  let found;
  for (let round = 0; round < 4; round++) {
    const begun = process.cpuUsage();
    found = await defence.detect(text);
    const spent = process.cpuUsage(begun);
    us = Math.min(us, spent.user + spent.system);
  }
  said.push([Math.max(0, ...found.threats.map((threat) => threat.confidence)), !found.safe, us]);
}
process.stdout.write(JSON.stringify(said));
