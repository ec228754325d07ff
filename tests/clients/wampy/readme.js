// Runs every example for Wampy of the README (those marked js): readme.js URL REALM SERIALIZER README
'use strict';
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { join, run } = require('./joined.js');

async function main(where, readme) {
  const text = readFileSync(readme, 'utf8');
  const examples = [...text.matchAll(/^```js\n([^]*?)^```/gm)].map((found) => found[1]);
  assert.ok(examples.length > 0, 'no example');
  const session = await join(where);
  await Promise.all(Array.from({ length: 1200 }, (_, n) => (
    session.publish(`com.example.device.${n % 3}`, [n]))));
  const found = await session.call('wamp.subscription.lookup', ['com.example.', { match: 'prefix' }]);
  const lines = [];
  const names = {
    session,
    devices: found.argsList[0],
    console: { log: (topic, [n]) => lines.push([topic, n]) },
  };
  const AsyncFunction = (async () => {}).constructor;
  for (const example of examples) {
    await new AsyncFunction(...Object.keys(names), example)(...Object.values(names));
  }
  assert.deepEqual(lines.map(([, n]) => n), Array.from({ length: 1200 }, (_, n) => n));
  await session.disconnect();
}

run(main);
