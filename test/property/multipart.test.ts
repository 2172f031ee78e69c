/**
 * Keys of multipart/form-data bodies: two have the same one exactly where their parts are the same, byte for byte and in
 * order, whatever their boundaries are; and none has one that a reader with other rules would cut in another way.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { torchserve } from '../../src/protocol/torchserve/torchserve.ts'
import { keyOf } from '../../src/testing/protocol-call.ts'

interface Part {
  readonly head: string
  readonly content: Uint8Array
}

/** Short, and of what delimiters are made of, so that they turn up in contents. */
const content = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc
    .array(fc.constantFrom('-', '--', '\r', '\n', '\r\n', 'b', 'bb', 'x', '\0'), { maxLength: 8 })
    .map((of) => Buffer.from(of.join(''))),
)
const head = fc.constantFrom(
  'content-disposition: form-data; name="a"',
  'Content-Disposition: form-data; name="b"; filename="f"',
  'content-disposition: form-data; name="a"\r\ncontent-type: application/json',
)
const parts = fc.array(fc.record({ head, content }), { minLength: 1, maxLength: 3 })
const boundary = fc.constantFrom('b', 'bb', 'x-1', '-', '----y', 'b--', 'an end')

function written(of: readonly Part[], by: string): Buffer {
  const lines = of.flatMap((part) => [
    Buffer.from(`--${by}\r\n${part.head}\r\n\r\n`),
    part.content,
    Buffer.from('\r\n'),
  ])
  return Buffer.concat([...lines, Buffer.from(`--${by}--\r\n`)])
}

function key(body: Uint8Array, by: string): string | undefined {
  const found = keyOf(torchserve, body, {
    headers: ['content-type', `multipart/form-data; boundary="${by}"`],
  })
  return found.startsWith('bypass') ? undefined : found
}

const shown = (of: readonly Part[]) =>
  of.map((part) => [part.head, Buffer.from(part.content).toString('hex')])

it('is the same for the same parts, whatever the boundary', () => {
  fc.assert(
    fc.property(parts, boundary, boundary, (of, one, other) => {
      const [a, b] = [key(written(of, one), one), key(written(of, other), other)]
      if (a !== undefined && b !== undefined) expect(a).toBe(b)
    }),
    { numRuns: 300 },
  )
})

it('is there unless the boundary stands in a part', () => {
  fc.assert(
    fc.property(parts, boundary, (of, by) => {
      const body = written(of, by).toString('latin1')
      const isClear = body.split(`--${by}`).length === of.length + 2 && !overlaps(by)
      if (isClear) expect(key(written(of, by), by)).toBeDefined()
    }),
    { numRuns: 300 },
  )
})

it('is another one for other parts', () => {
  fc.assert(
    fc.property(parts, parts, boundary, boundary, (of, others, one, other) => {
      const [a, b] = [key(written(of, one), one), key(written(others, other), other)]
      if (a === undefined || b === undefined) return
      expect(a === b).toBe(JSON.stringify(shown(of)) === JSON.stringify(shown(others)))
    }),
    { numRuns: 500 },
  )
})

it('changes, or is none, with any byte but those of the boundary', () => {
  fc.assert(
    fc.property(parts, fc.nat(), fc.integer({ min: 1, max: 255 }), (of, place, change) => {
      const body = written(of, 'x-1')
      const before = key(body, 'x-1')
      const at = place % body.length
      body[at] = (body[at] as number) ^ change
      if (before !== undefined) expect(key(body, 'x-1')).not.toBe(before)
    }),
    { numRuns: 1000 },
  )
})

/** Its delimiter begins anew within itself or its end, so that it stands where it is not meant. */
function overlaps(by: string): boolean {
  const end = `--${by}--\r\n`
  return end.indexOf(`--${by}`, 1) >= 0
}
