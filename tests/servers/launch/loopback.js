// Preloaded (`node -r`) into the Node servers, which by themselves bind every interface and outlive
// the test.
'use strict'

const net = require('net')

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) {
  const callbacks = rest.filter((arg) => typeof arg === 'function')
  return listen.call(this, Number(port), '127.0.0.1', ...callbacks)
}

// The test holds the other end of this pipe, which closes however the test ends.
process.stdin.on('end', () => process.exit(0))
process.stdin.on('error', () => process.exit(0))
process.stdin.resume()
