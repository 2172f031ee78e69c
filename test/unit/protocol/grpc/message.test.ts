import { deflateSync, gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { onlyMessage, PREFIX_BYTES, withPrefix } from '../../../../src/protocol/grpc/message.ts'

const MESSAGE = Buffer.from('a message, a message, a message')

function framed(flag: number, message: Uint8Array): Buffer {
  const body = withPrefix(Buffer.concat([Buffer.alloc(PREFIX_BYTES), message]))
  body[0] = flag
  return body
}

it.each([
  ['as it is', 0, undefined, MESSAGE],
  ['gzip', 1, 'gzip', gzipSync(MESSAGE)],
  ['deflate', 1, 'deflate', deflateSync(MESSAGE)],
  ['not compressed, though it might be', 0, 'gzip', MESSAGE],
])('reads a message: %s', (_, flag, encoding, sent) => {
  const message = onlyMessage(framed(flag, sent), encoding, 1000)
  expect(Buffer.from(message as Uint8Array).toString()).toBe(MESSAGE.toString())
})

it.each([
  ['no message', Buffer.alloc(0), undefined, 'grpc-message'],
  ['a prefix that is cut', Buffer.alloc(4), undefined, 'grpc-message'],
  ['a message that is cut', framed(0, MESSAGE).subarray(0, -1), undefined, 'grpc-message'],
  ['two messages', Buffer.concat([framed(0, MESSAGE), framed(0, MESSAGE)]), undefined, 'grpc-message'],
  ['an unknown flag', framed(2, MESSAGE), undefined, 'grpc-message'],
  ['a coding that is not known', framed(1, MESSAGE), 'snappy', 'grpc-encoding'],
  ['a coding that is not named', framed(1, MESSAGE), undefined, 'grpc-encoding'],
  ['what is not of its coding', framed(1, MESSAGE), 'gzip', 'grpc-compression'],
  ['what is cut', framed(1, gzipSync(MESSAGE).subarray(0, -9)), 'gzip', 'grpc-compression'],
  ['what is too long', framed(1, gzipSync(Buffer.alloc(1001))), 'gzip', 'grpc-compression'],
])('does not read %s', (_, body, encoding, bypass) => {
  expect(onlyMessage(body, encoding, 1000)).toEqual({ bypass })
})
