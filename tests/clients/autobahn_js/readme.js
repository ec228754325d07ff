// Runs every JavaScript example of the README: readme.js URL REALM SERIALIZER README
'use strict';
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { join, run } = require('./joined.js');

async function main(where, readme) {
  const text = readFileSync(readme, 'utf8');
  const examples = [...text.matchAll(/^```javascript\n([^]*?)^```/gm)].map((found) => found[1]);
  assert.ok(examples.length > 0, 'no example');
  const session = await join(where);
  const published = await session.publish('com.example.orders', [1], {}, { acknowledge: true });
  const id = await session.call('wamp.subscription.lookup', ['com.example.orders']);
  const [event] = await session.call('wamp.subscription.get_events', [id, 1]);
  assert.equal(event.publication, published.id);
  const names = { session, last: event.sequence, onOrder: () => {} };
  const AsyncFunction = (async () => {}).constructor;
  for (const example of examples) {
    await new AsyncFunction(...Object.keys(names), example)(...Object.values(names));
  }
  await session.end();
}

run(main);
