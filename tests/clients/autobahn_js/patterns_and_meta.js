// Pattern subscriptions and meta events: URL REALM SERIALIZER.
'use strict';
const assert = require('node:assert/strict');
const { join, subscribed, run } = require('./joined.js');

async function main(where) {
  const watcher = await join(where);
  const other = await join(where);
  await patternsMatch(watcher, other);
  await subscriptionsAreTold(watcher, other);
  await comingsAndGoingsAreTold(watcher, where);
  await watcher.end();
  await other.end();
}

async function patternsMatch(watcher, other) {
  const topics = ['org.app.created', 'org.app.credit.new', 'org.shop.created', 'org.app.cr',
    'org.app.x.created', 'org.app.created'];
  const listeners = [
    [await subscribed(watcher, 'org.app.cre', { match: 'prefix' }), [0, 1, 5]],
    [await subscribed(watcher, 'org..created', { match: 'wildcard' }), [0, 2, 5]],
    [await subscribed(watcher, 'org.app.created'), [0, 5]],
  ];
  for (const topic of topics) await other.publish(topic, [topic], {}, { acknowledge: true });
  for (const [{ subscription, next, events }, expected] of listeners) {
    for (const n of expected) {
      const { args, details } = await next();
      assert.equal(args[0], topics[n]);
      assert.equal(details.topic, topics[n]);
    }
    assert.deepEqual(events, [], 'more events than topics that match');
    await watcher.unsubscribe(subscription);
  }
}

async function subscriptionsAreTold(watcher, other) {
  const told = {};
  for (const name of ['create', 'subscribe', 'unsubscribe', 'delete']) {
    told[name] = await subscribed(watcher, `wamp.subscription.on_${name}`);
  }
  const { subscription } = await subscribed(other, 'org.told.', { match: 'prefix' });
  const created = await told.create.next();
  assert.equal(created.args[0], other.id);
  const { id, uri, match } = created.args[1];
  assert.deepEqual([id, uri, match], [subscription.id, 'org.told.', 'prefix']);
  assert.deepEqual((await told.subscribe.next()).args, [other.id, id]);
  assert.deepEqual(await watcher.call('wamp.subscription.list_subscribers', [id]), [other.id]);
  assert.equal(await watcher.call('wamp.subscription.count_subscribers', [id]), 1);
  await other.unsubscribe(subscription);
  assert.deepEqual((await told.unsubscribe.next()).args, [other.id, id]);
  assert.deepEqual((await told.delete.next()).args, [other.id, id]);
}

async function comingsAndGoingsAreTold(watcher, where) {
  const joins = await subscribed(watcher, 'wamp.session.on_join');
  const leaves = await subscribed(watcher, 'wamp.session.on_leave');
  const guest = await join(where);
  const [details] = (await joins.next()).args;
  assert.deepEqual([details.session, details.authrole], [guest.id, 'anonymous']);
  assert.ok((await watcher.call('wamp.session.list')).includes(guest.id));
  const { id } = guest;
  await guest.end();
  assert.equal((await leaves.next()).args[0], id);
}

run(main);
