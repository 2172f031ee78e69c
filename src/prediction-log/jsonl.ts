/**
 * The format `jsonl`: a JSON object a line. The bodies are strings, so that every line has one schema whatever was asked: their
 * text where it is UTF-8, base64 where it is not, and `encoding` says which.
 */
import { isUtf8 } from 'node:buffer'
import { header, type RawPairs } from '../core/call.ts'
import type { Encoder } from './encoder.ts'

export const jsonl: Encoder = {
  encode({ head, request, answer }) {
    const { headers, status, answerHeaders, cache, tier, rows, ...call } = head
    const line = {
      ...call,
      request: { headers: named(headers), ...text(request, headers) },
      status,
      cache,
      tier,
      rows,
      response: { headers: named(answerHeaders), ...text(answer, answerHeaders) },
    }
    return Buffer.from(`${JSON.stringify(line)}\n`)
  },

  async wholeBytes(file) {
    let at = 0
    let whole = 0
    for await (const piece of file) {
      const last = piece.lastIndexOf(LINE_END)
      if (last >= 0) whole = at + last + 1
      at += piece.length
    }
    return whole
  },
}

const LINE_END = 0x0a

interface Field {
  readonly name: string
  readonly value: string
}

function named(headers: RawPairs): Field[] {
  const fields: Field[] = []
  for (let i = 0; i < headers.length; i += 2)
    fields.push({ name: headers[i] as string, value: headers[i + 1] as string })
  return fields
}

interface Text {
  readonly encoding: 'utf8' | 'base64'
  readonly body: string
}

/** Binary tensors may happen to be UTF-8; a body with them is base64 each time. */
function text(body: Uint8Array, headers: RawPairs): Text {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  const isText = isUtf8(bytes) && header(headers, 'inference-header-content-length') === undefined
  const encoding = isText ? 'utf8' : 'base64'
  return { encoding, body: bytes.toString(encoding) }
}
