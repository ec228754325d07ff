// Publishes three events; each acknowledgement says that the event is on disk.
const autobahn = require('autobahn');

const url = process.argv[2] || 'ws://127.0.0.1:8080/ws';
const connection = new autobahn.Connection({ url, realm: 'realm1' });

connection.onopen = async (session) => {
  for (const counter of [1, 2, 3]) {
    const publication = await session.publish(
      'com.example.oncounter', [counter], {}, { acknowledge: true });
    console.log('published', counter, 'as', publication.id);
  }
  connection.close();
};
connection.open();
