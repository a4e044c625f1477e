// Node's HTTP server: records every request, and answers as its path says.
'use strict';
const http = require('node:http');

const KEPT = 65536;
const RECORDED = 1024;
const now = () => Number(process.hrtime.bigint()) / 1e9;
const record = (fields) => process.stdout.write(JSON.stringify({ server: 'node', at: now(), ...fields }) + '\n');
let numbers = 0;

function pairs(raw) {
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i].toLowerCase(), raw[2 * i + 1]]);
}

function answer(request, response, words, length, kept) {
  const seen = request.headers['x-case'] ?? '';
  response.setHeader('x-seen', seen);
  switch (words[0]) {
    case 'status': {
      const status = Number(words[1]);
      const isBare = [204, 205, 304].includes(status);
      if (!isBare) response.setHeader('content-length', 7);
      if (status === 304 && words[2]) response.setHeader('content-length', words[2]);
      response.writeHead(status);
      return response.end(isBare ? undefined : 'status\n');
    }
    case 'echo':
      response.setHeader('content-length', kept.length);
      return response.end(kept);
    case 'chunked':
      for (const piece of ['one,', 'two,', 'three']) response.write(piece);
      return response.end();
    case 'trailers':
      response.setHeader('trailer', 'x-sum');
      response.write('body\n');
      response.addTrailers({ 'x-sum': 'abc123' });
      return response.end();
    case 'empty':
      response.setHeader('content-length', 0);
      return response.end();
    case 'close':
      response.useChunkedEncodingByDefault = false;
      response.setHeader('connection', 'close');
      response.write('until ');
      return response.end('the end');
    case 'headers':
      response.setHeader('x-large', 'v'.repeat(Number(words[1])));
      response.setHeader('content-length', 0);
      return response.end();
    default: {
      const text = `${request.method} ${request.url} ${length}\n`;
      response.setHeader('content-length', Buffer.byteLength(text));
      return response.end(text);
    }
  }
}

const server = http.createServer({ maxHeaderSize: 262144, keepAlive: true }, (request, response) => {
  const number = ++numbers;
  const note = (event, fields) => record({
    event, number, method: request.method, target: request.url, case: request.headers['x-case'] ?? '', ...fields,
  });
  note('head', { headers: pairs(request.rawHeaders) });
  const words = request.url.split('?')[0].split('/').slice(1);
  response.on('close', () => { if (!response.writableFinished) note('gone'); });
  if (words[0] === 'hang') return;
  if (words[0] === 'drip') return void response.write('first\n');
  if (words[0] === 'early') return void response.end('early\n');
  let length = 0;
  const kept = [];
  request.on('data', (piece) => {
    if (length < KEPT) kept.push(piece.subarray(0, KEPT - length));
    length += piece.length;
  });
  request.on('end', () => {
    const body = Buffer.concat(kept);
    note('request', { headers: pairs(request.rawHeaders), length, body: body.toString('latin1', 0, RECORDED), trailers: pairs(request.rawTrailers) });
    answer(request, response, words, length, body);
  });
});
server.keepAliveTimeout = 75000;
// Neither is asked for by the mesh; a smuggled one must show up.
server.on('connect', (request, socket) => { record({ event: 'head', method: 'CONNECT', target: request.url, case: request.headers['x-case'] ?? '', headers: pairs(request.rawHeaders) }); socket.destroy(); });
server.on('clientError', (error, socket) => { record({ event: 'malformed', code: error.code }); socket.destroy(); });
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
