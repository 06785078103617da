// Preloaded (`node -r`) into the Node servers, whose command lines bind every interface and outlive the test.
'use strict'

const net = require('net')

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, Number(port), '127.0.0.1', ...rest.filter((arg) => typeof arg === 'function'))
}

// The test holds the other end of this pipe: it closes however the test ends.
process.stdin.on('end', () => process.exit(0))
process.stdin.on('error', () => process.exit(0))
process.stdin.resume()
