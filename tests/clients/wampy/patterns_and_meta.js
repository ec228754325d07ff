// Pattern subscriptions and meta events: URL REALM SERIALIZER.
'use strict';
const assert = require('node:assert/strict');
const { join, subscribed, run } = require('./joined.js');

async function main(where) {
  const watcher = await join(where);
  const other = await join(where);
  await patternsMatch(watcher, other);
  await subscriptionsAreTold(watcher, await join(where));
  await comingsAndGoingsAreTold(watcher, where);
  await watcher.disconnect();
  await other.disconnect();
}

async function patternsMatch(watcher, other) {
  const topics = ['org.app.created', 'org.app.credit.now', 'org.shop.created', 'org.app.cr',
    'org.app.x.created', 'org.app.created'];
  const listeners = [
    [await subscribed(watcher, 'org.app.cre', { match: 'prefix' }), [0, 1, 5]],
    [await subscribed(watcher, 'org..created', { match: 'wildcard' }), [0, 2, 5]],
    [await subscribed(watcher, 'org.app.created'), [0, 5]],
  ];
  for (const topic of topics) await other.publish(topic, [topic]);
  for (const [{ next, events }, expected] of listeners) {
    for (const n of expected) {
      const { argsList, details } = await next();
      assert.equal(argsList[0], topics[n]);
      // Where it came by a pattern, the event names its topic.
      assert.equal(details.topic ?? 'org.app.created', topics[n]);
    }
    assert.deepEqual(events, [], 'more events than topics that match');
  }
}

async function subscriptionsAreTold(watcher, other) {
  const created = await subscribed(watcher, 'wamp.subscription.on_create');
  const deleted = await subscribed(watcher, 'wamp.subscription.on_delete');
  const subscription = await subscribed(other, 'org.told', { match: 'prefix' });
  const [who, { id, uri, match }] = (await created.next()).argsList;
  assert.deepEqual([who, id, uri, match],
    [other.getSessionId(), subscription.id, 'org.told', 'prefix']);
  const { argsList } = await watcher.call('wamp.subscription.list_subscribers', [id]);
  assert.deepEqual(argsList, [[other.getSessionId()]]);
  // By leaving: Wampy's unsubscribe loses its way where the subscription had options.
  await other.disconnect();
  assert.equal((await deleted.next()).argsList[1], id);
}

async function comingsAndGoingsAreTold(watcher, where) {
  const joins = await subscribed(watcher, 'wamp.session.on_join');
  const leaves = await subscribed(watcher, 'wamp.session.on_leave');
  const guest = await join(where);
  const id = guest.getSessionId();
  const [details] = (await joins.next()).argsList;
  assert.deepEqual([details.session, details.authrole], [id, 'anonymous']);
  await guest.disconnect();
  assert.equal((await leaves.next()).argsList[0], id);
}

run(main);
