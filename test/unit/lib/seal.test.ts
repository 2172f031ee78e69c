/** What a seal keeps, and that nothing else opens. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSeal, type Seal } from '../../../src/lib/seal.ts'
import { SIGNATURE_BYTES, Signer } from '../../../src/lib/signer.ts'

const [A, B] = ['a'.repeat(32), 'b'.repeat(32)]
const made = (isEncrypted: boolean, secrets = [A], purpose = 'entries'): Seal =>
  createSeal({ secrets, purpose, isEncrypted })
const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('latin1')

describe.each([
  ['signed', false],
  ['encrypted', true],
] as const)('a value that is %s', (_name, isEncrypted) => {
  const seal = made(isEncrypted)

  it('is opened by whoever has the secret, under its own name, and is as much longer as it says', () => {
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ maxLength: 300 }), (of, value) => {
        const sealed = seal.seal(of, value)
        expect(sealed.length).toBe(value.length + seal.overhead)
        expect(text(made(isEncrypted).open(of, sealed))).toBe(text(value))
        expect(seal.open(`${of}x`, sealed)).toBe(undefined)
      }),
    )
  })

  it('is not opened once any bit of it is another, or a part is missing or added', () => {
    const sealed = seal.seal('key', Buffer.from('the value'))
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed)
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(seal.open('key', changed)).toBe(undefined)
    }
    for (let length = 0; length < sealed.length; length++)
      expect(seal.open('key', sealed.subarray(0, length))).toBe(undefined)
    expect(seal.open('key', Buffer.concat([sealed, Buffer.of(0)]))).toBe(undefined)
  })

  it('is not opened for what bytes there may be', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(seal.open('key', bytes)).toBe(undefined)
      }),
    )
  })

  it('is nothing for another secret, another purpose, or the other kind of seal', () => {
    const sealed = seal.seal('key', Buffer.from('v'))
    expect(made(isEncrypted, [B]).open('key', sealed)).toBe(undefined)
    expect(made(isEncrypted, [A], 'facts').open('key', sealed)).toBe(undefined)
    expect(made(!isEncrypted).open('key', sealed)).toBe(undefined)
  })

  it('is opened by a secret that is being replaced', () => {
    const [old, both, next] = [[A], [B, A], [B]].map((secrets) => made(isEncrypted, secrets))
    const [ofOld, ofBoth] = [old?.seal('key', Buffer.from('v')), both?.seal('key', Buffer.from('w'))]
    expect([old, both, next].map((each) => text(each?.open('key', ofOld as Buffer)))).toEqual([
      'v',
      'v',
      undefined,
    ])
    expect([old, both, next].map((each) => text(each?.open('key', ofBoth as Buffer)))).toEqual([
      undefined,
      'w',
      'w',
    ])
  })

  it('does not move between name and value', () => {
    const sealed = seal.seal('ab', Buffer.from('c'))
    expect(seal.open('a', sealed)).toBe(undefined)
    expect(seal.open('abc', sealed)).toBe(undefined)
  })
})

it('an encrypted value shows nothing of itself, and is another each time', () => {
  const seal = made(true)
  const value = Buffer.from('a secret answer, a secret answer')
  const [one, two] = [seal.seal('key', value), seal.seal('key', value)]
  expect(one.includes('secret')).toBe(false)
  expect(one.equals(two)).toBe(false)
  expect([one, two].map((each) => text(seal.open('key', each)))).toEqual([value.toString(), value.toString()])
})

it('a signed value is its own text, without a copy', () => {
  const seal = made(false)
  const sealed = seal.seal('key', Buffer.from('plain'))
  expect(sealed.includes('plain')).toBe(true)
  expect(seal.open('key', sealed)?.buffer).toBe(sealed.buffer)
})

it('a signature is of one value under one name', () => {
  const signer = new Signer({ secrets: [A], purpose: 'records' })
  const signature = signer.sign('pool', 'text')
  expect(signature.length).toBe(SIGNATURE_BYTES)
  expect(signer.verifies('pool', 'text', signature)).toBe(true)
  expect(signer.verifies('other', 'text', signature)).toBe(false)
  expect(signer.verifies('pool', 'text!', signature)).toBe(false)
  expect(signer.verifies('pool', 'text', signature.subarray(1))).toBe(false)
  expect(new Signer({ secrets: [B], purpose: 'records' }).verifies('pool', 'text', signature)).toBe(false)
})
