/**
 * What the key of a gRPC call costs beside SHA-256 of the same bytes, and what finding the model in it costs.
 *
 *   node bench/micro/messages.ts [rounds]
 */
import { hash } from 'node:crypto'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { PREFIX_BYTES, withPrefix } from '../../src/protocol/grpc/message.ts'
import { oip } from '../../src/protocol/oip/oip.ts'
import { MessageWriter } from '../../src/protocol/protobuf/writer.ts'
import { callOf } from '../../src/testing/protocol-call.ts'

const MIB = 1 << 20
const rounds = Number(process.argv[2] ?? 200)
const seed: Digest = digestOf('bench')

const call = callOf(new Uint8Array(0), {
  path: '/inference.GRPCInferenceService/ModelInfer',
  headers: ['content-type', 'application/grpc'],
  target: { verb: 'infer', model: 'm', prediction: true },
})

/** A request for one tensor of so many bytes, in rows of 1 KiB. */
function request(bytes: number, isTyped: boolean): Buffer {
  const values = Buffer.from(Float32Array.from({ length: bytes / 4 }, (_, i) => Math.sin(i)).buffer)
  const shape = Buffer.from(
    [bytes / 1024 < 128 ? [bytes / 1024] : [0x80, bytes / 1024 / 128], [0x80, 0x02]].flat(),
  )
  const tensor = new MessageWriter().text(1, 'x').text(2, 'FP32').bytes(3, shape)
  if (isTyped) tensor.message(5, new MessageWriter().bytes(6, values))
  const message = new MessageWriter().text(1, 'm').text(3, 'call-1').message(5, tensor)
  if (!isTyped) message.bytes(7, values)
  return withPrefix(message.join(PREFIX_BYTES))
}

function read(body: Uint8Array, split: boolean): void {
  const reading = oip.read(call, body, { seed, split })
  if ('bypass' in reading) throw new Error(reading.bypass)
}

/** The lowest decile: what others do on the machine only ever adds to a time. */
function low(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 10)] as number
}

/** Microseconds. The sides take turns, so that what disturbs the machine disturbs all of them. */
function measure(name: string, body: Buffer): void {
  const repeats = Math.ceil(MIB / 8 / body.length)
  const sides: Record<string, () => unknown> = {
    'sha256 of the bytes': () => hash('sha256', body, 'latin1'),
    'key, whole': () => read(body, false),
    'key, whole and rows': () => read(body, true),
    'the model': () => oip.model?.(body),
  }
  const times = new Map(Object.keys(sides).map((side) => [side, [] as number[]]))
  for (let round = -20; round < rounds; round++) {
    for (const [side, run] of Object.entries(sides)) {
      const start = performance.now()
      for (let i = 0; i < repeats; i++) run()
      if (round >= 0) times.get(side)?.push(((performance.now() - start) * 1000) / repeats)
    }
  }
  process.stdout.write(`${name}: ${body.length} bytes\n`)
  const base = low(times.get('sha256 of the bytes') as number[])
  for (const [side, list] of times) {
    const us = low(list)
    process.stdout.write(`  ${side.padEnd(20)} ${us.toFixed(1).padStart(8)} us  ${(us / base).toFixed(2)}\n`)
  }
}

process.stdout.write(`Node ${process.version}, ${rounds} rounds, lowest deciles\n`)
measure('1 MiB raw', request(MIB, false))
measure('1 MiB typed', request(MIB, true))
measure('1 KiB raw', request(1024, false))
