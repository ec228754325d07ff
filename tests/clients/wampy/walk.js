// A walk through a history, page by page: URL REALM SERIALIZER; the realm keeps prefix
// com.example.
'use strict';
const assert = require('node:assert/strict');
const { join, refused, run } = require('./joined.js');

const GET_EVENTS = 'wamp.subscription.get_events';

async function main(where) {
  const session = await join(where);
  const site = `com.example.${process.pid}.${Date.now()}.`;
  for (let n = 0; n < 25; n += 1) await session.publish(`${site}device${n % 5}`, [n]);
  const found = await session.call('wamp.subscription.lookup', [site, { match: 'prefix' }]);
  const [devices] = found.argsList;
  const ask = (argsDict) => session.call(GET_EVENTS, { argsList: [devices], argsDict });

  for (const [first, expected] of [
    [{ limit: 10 }, range(0, 25)],
    [{ limit: 5, reverse: true }, range(0, 25).reverse()],
    [{ limit: 2, last_per_topic: 1 }, range(20, 25)],
  ]) {
    const shown = [];
    let page = await ask({ ...first, _cursor: true });
    for (;;) {
      assert.equal(page.argsList.length, 1);
      assert.ok(page.argsList[0].length <= first.limit);
      shown.push(...page.argsList[0].map((event) => event.args[0]));
      if (!page.details._cursor) break;
      page = await ask({ _cursor: page.details._cursor, ...first });
    }
    assert.deepEqual(shown, expected);
  }
  const page = await ask({ limit: 10, _cursor: true });
  const cursor = page.details._cursor;
  await refused('wamp.error.invalid_argument', ask({ _cursor: cursor, limit: 11 }));
  await refused('wamp.error.invalid_argument', ask({ _cursor: `${cursor}x` }));
  await session.disconnect();
}

function range(from, to) {
  return Array.from({ length: to - from }, (_, n) => from + n);
}

run(main);
