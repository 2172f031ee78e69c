/** A body's key and verdict depend on its bytes alone: not on where it was cut, nor on whether it was joined. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RawPairs } from '../../src/core/call.ts'
import { Chunks } from '../../src/core/chunks.ts'
import { digestOf } from '../../src/core/key.ts'
import { encodingOf, rawDigest, rawDigestSteps, rawPrefix } from '../../src/data/key/raw.ts'
import { runToEnd } from '../../src/lib/cooperative.ts'
import { oip } from '../../src/protocol/oip/oip.ts'
import { opaque } from '../../src/protocol/opaque.ts'
import type { Protocol } from '../../src/protocol/protocol.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { binaryRequest, callOf, SEED } from '../../src/testing/protocol-call.ts'

/** The body cut where the numbers say; pieces without a byte among them. */
function cut(body: Uint8Array, places: readonly number[]): Chunks {
  const at = [...places.map((place) => place % (body.length + 1)), body.length].sort((a, b) => a - b)
  return new Chunks(at.map((end, i) => body.subarray(at[i - 1] ?? 0, end)))
}

const OPTIONS = { seed: SEED, split: false }

function verdicts(protocol: Protocol, body: Uint8Array, places: readonly number[], headers: RawPairs = []) {
  const call = callOf(body, { headers })
  // Of several problems any may be named first.
  const word = (reading: ReturnType<Protocol['read']>) => ('bypass' in reading ? 'bypass' : reading.whole)
  return {
    joined: word(protocol.read(call, body, OPTIONS)),
    inPieces: word(runToEnd(protocol.readChunks(call, cut(body, places), OPTIONS))),
    uncut: word(runToEnd(protocol.readChunks(call, new Chunks([body]), OPTIONS))),
  }
}

const places = fc.array(fc.nat(), { maxLength: 12 })
const float = fc.oneof(
  fc.constantFrom('1', '1.0', '-0.0', '0.10000000149011612', '1e-46', '16777217'),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
)
const string = fc.constantFrom('""', '"a"', '"\\u00e9\\/"', '"é😀"', '"]"', '"[\\""', '"\\ud83d\\ude00"')
const oddity = fc.constantFrom(
  'null',
  '{"b":1,"a":[2]}',
  'NaN',
  '"x',
  '[',
  ']',
  '',
  '1,',
  '01',
  '"\\ud800"',
  '{"a":1,"a":2}',
)
const space = fc.constantFrom('', '', ' ', '\n')

/** An array of more than a kilobyte, so that it is left out of the skeleton: mostly of one kind of element. */
const array = (element: fc.Arbitrary<string>) =>
  fc
    .tuple(
      fc.array(element, { minLength: 1, maxLength: 8 }),
      fc.option(fc.tuple(fc.nat(), oddity), { freq: 3 }),
      space,
    )
    .map(([few, odd, gap]) => {
      const count = 80 + 1200 / (few.join().length / few.length + 1)
      const all = Array.from({ length: Math.ceil(count / few.length) }, () => few).flat()
      if (odd) all[odd[0] % all.length] = odd[1]
      return { text: `[${all.join(`,${gap}`)}]`, count: all.length }
    })

describe('a long body', () => {
  it('of V1 has one verdict however it is cut, and its key is that of the joined body', () => {
    const body = fc
      .tuple(
        array(fc.oneof(float, string)),
        array(float),
        fc.constantFrom('"signature_name":"s",', '"\\u0061":{"c":1,"b":2},', ''),
      )
      .map(([a, b, more]) => Buffer.from(`{${more}"instances":${a.text},"x":${b.text}}`))
    fc.assert(
      fc.property(body, places, (bytes, at) => {
        const { joined, inPieces, uncut } = verdicts(tfserving, bytes, at)
        expect(inPieces).toBe(uncut)
        expect(inPieces).toBe(joined)
      }),
      { numRuns: 100 },
    )
  })

  it.each([
    ['FP32', float],
    ['FP64', float],
    ['INT64', fc.constantFrom('0', '-1', '9007199254740993', '1.0')],
    ['BYTES', string],
    ['BOOL', fc.constantFrom('true', 'false')],
  ] as const)(
    'of V2 with %s as JSON has one verdict however it is cut, and its key is that of the joined body',
    (datatype, element) => {
      const body = fc
        .tuple(
          array(element),
          fc.boolean(),
          fc.boolean(),
          fc.constantFrom('"id":"7",', '"parameters":{"p":[1,2]},', ''),
        )
        .map(([{ text, count }, isFirst, isNested, more]) => {
          const shape = `"shape":[${isNested ? `1,${count}` : count}]`
          const data = `"data":${isNested ? `[${text}]` : text}`
          const members = isFirst ? `${data},"name":"x",${shape}` : `"name":"x",${shape},${data}`
          return Buffer.from(
            `{${more}"inputs":[{${members},"datatype":"${datatype}"},{"name":"y","datatype":"INT8","shape":[1],"data":[3]}]}`,
          )
        })
      fc.assert(
        fc.property(body, places, (bytes, at) => {
          const { joined, inPieces, uncut } = verdicts(oip, bytes, at)
          expect(inPieces).toBe(uncut)
          expect(inPieces).toBe(joined)
        }),
        { numRuns: 50 },
      )
    },
  )

  it('of V2 with blobs has one verdict however it is cut, and its key is that of the joined body', () => {
    const text = (value: string) =>
      Buffer.concat([Buffer.from(Uint32Array.of(value.length).buffer), Buffer.from(value)])
    const body = fc
      .tuple(
        fc.array(fc.constantFrom('', 'a', 'bc', 'x'.repeat(300))),
        fc.uint8Array({ maxLength: 4000 }),
        fc.integer({ min: -1, max: 1 }),
        fc.nat(3),
      )
      .map(([strings, values, wrong, missing]) => {
        const blob = Buffer.concat(strings.map(text))
        const inputs = [
          {
            name: 'y',
            datatype: 'BYTES',
            shape: [strings.length + (missing === 0 ? wrong : 0)],
            parameters: { binary_data_size: blob.length },
          },
          {
            name: 'x',
            datatype: 'UINT8',
            shape: [values.length],
            parameters: { binary_data_size: values.length },
          },
        ]
        const made = binaryRequest({ inputs }, [blob, values])
        return missing === 1 ? { ...made, body: made.body.subarray(0, -1) } : made
      })
    fc.assert(
      fc.property(body, places, ({ body, headers }, at) => {
        const { joined, inPieces, uncut } = verdicts(oip, body, at, headers)
        expect(inPieces).toBe(uncut)
        expect(inPieces).toBe(joined)
      }),
      { numRuns: 150 },
    )
  })

  it('of any bytes at all has one raw digest, and one verdict in every dialect', () => {
    const byteOf = fc.oneof(fc.constantFrom(...Buffer.from('{}[]",:\\u1.e-tn ')), fc.nat(255))
    fc.assert(
      fc.property(fc.array(byteOf, { maxLength: 60 }), places, fc.nat(20), (list, at, length) => {
        const body = Uint8Array.from(list)
        const encoding = encodingOf(callOf(body))
        expect(runToEnd(rawDigestSteps(rawPrefix(SEED, encoding), cut(body, at)))).toBe(
          rawDigest(rawPrefix(SEED, encoding), body),
        )
        const opaquely = verdicts(opaque, body, at)
        expect(opaquely.inPieces).toBe(opaquely.joined)
        for (const protocol of [tfserving, oip])
          for (const headers of [[], ['Inference-Header-Content-Length', String(length)]]) {
            const { joined, inPieces, uncut } = verdicts(protocol, body, at, headers)
            expect(inPieces).toBe(uncut)
            expect(inPieces).toBe(joined)
          }
      }),
      { numRuns: 300 },
    )
  })
})

describe('chunks', () => {
  it('give any stretch of the body, as a piece or in pieces', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 50 }),
        places,
        fc.nat(),
        fc.nat(),
        (body, at, a, b) => {
          const chunks = cut(body, at)
          const [start, end] = [a % (body.length + 1), b % (body.length + 1)].sort((x, y) => x - y) as [
            number,
            number,
          ]
          const expected = Buffer.from(body.subarray(start, end))
          expect(chunks.length).toBe(body.length)
          expect(Buffer.concat([...chunks.pieces(start, end)])).toEqual(expected)
          expect(Buffer.from(chunks.slice(start, end))).toEqual(expected)
          expect(digestOf(Buffer.concat([...chunks.pieces()]))).toBe(digestOf(body))
        },
      ),
      { numRuns: 200 },
    )
  })
})
