/** A collector that takes traces by OTLP over HTTP, as protobuf, and reads what the tests look at. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  readonly name: string
  /** 1: internal, 2: server, 3: client. */
  readonly kind: number
  /** Nanoseconds since 1970. */
  readonly start: bigint
  readonly end: bigint
  readonly attributes: Readonly<Record<string, string | number>>
  /** 2: error. */
  readonly status: number
}

export interface OtlpReceiver {
  readonly url: string
  readonly spans: ReceivedSpan[]
  /** Of the resource that sent them last. */
  resource: Readonly<Record<string, string | number>>
  /** The status of its answers. */
  status: number
  close(): Promise<void>
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      response.writeHead(receiver.status, { 'content-type': 'application/x-protobuf' }).end()
      if (receiver.status !== 200) return
      for (const resourceSpans of messages(body, 1)) {
        const [resource = NOTHING] = messages(resourceSpans, 1)
        receiver.resource = attributesIn(resource, 1)
        for (const scopeSpans of messages(resourceSpans, 2))
          receiver.spans.push(...messages(scopeSpans, 2).map(spanOf))
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const receiver: OtlpReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
    spans: [],
    resource: {},
    status: 200,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return receiver
}

const NOTHING = Buffer.alloc(0)

function spanOf(span: Buffer): ReceivedSpan {
  const fields = fieldsOf(span)
  const bytes = (field: number) => (fields.get(field)?.[0] ?? NOTHING) as Buffer
  const [status] = messages(span, 15)
  return {
    traceId: bytes(1).toString('hex'),
    spanId: bytes(2).toString('hex'),
    parentId: bytes(4).toString('hex'),
    name: bytes(5).toString(),
    kind: Number(fields.get(6)?.[0] ?? 0),
    start: fields.get(7)?.[0] as bigint,
    end: fields.get(8)?.[0] as bigint,
    attributes: attributesIn(span, 9),
    status: Number((status && fieldsOf(status).get(3)?.[0]) ?? 0),
  }
}

function attributesIn(message: Buffer, field: number): Record<string, string | number> {
  return Object.fromEntries(
    messages(message, field).map((pair) => {
      const [key] = fieldsOf(pair).get(1) ?? []
      const [value] = messages(pair, 2)
      const [[kind, values] = [0, []]] = [...fieldsOf(value ?? NOTHING)]
      const [given] = values
      return [
        String(key),
        kind === 1 ? String(given) : kind === 4 ? doubleOf(given as bigint) : Number(given),
      ]
    }),
  )
}

function doubleOf(bits: bigint): number {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(bits)
  return bytes.readDoubleLE()
}

function messages(message: Buffer, field: number): Buffer[] {
  return (fieldsOf(message).get(field) ?? []) as Buffer[]
}

/** The values of a message by field: a Buffer for those with a length, a bigint for the others. */
function fieldsOf(message: Buffer): Map<number, (Buffer | bigint)[]> {
  const fields = new Map<number, (Buffer | bigint)[]>()
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] as number
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const fixed = (bytes: number) => {
    at += bytes
    return bytes === 8 ? message.readBigUInt64LE(at - 8) : BigInt(message.readUInt32LE(at - 4))
  }
  const sized = () => {
    const length = Number(varint())
    at += length
    return message.subarray(at - length, at)
  }
  while (at < message.length) {
    const tag = Number(varint())
    const type = tag & 7
    const value = type === 0 ? varint() : type === 1 ? fixed(8) : type === 5 ? fixed(4) : sized()
    const field = tag >> 3
    fields.set(field, [...(fields.get(field) ?? []), value])
  }
  return fields
}
