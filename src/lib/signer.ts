/**
 * Signatures under a shared secret: HMAC-SHA-256, whose key is derived from the secret for one purpose (HKDF, RFC 5869), so
 * that what is signed for one is nothing for another. A signature covers what the value is of, so that it is worth nothing
 * elsewhere either.
 */
import { createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'

export interface SignerOptions {
  /** At least one; the first signs, any verifies, so that a secret can be replaced. */
  readonly secrets: readonly string[]
  /** Text that no other use of the same secrets has. */
  readonly purpose: string
}

const ID_BYTES = 4
const TAG_BYTES = 32
/** Bytes of a signature: which key it was made with, then the tag. */
export const SIGNATURE_BYTES = ID_BYTES + TAG_BYTES

/** A key, and the four bytes by which those who have it too recognise what it has made. */
export interface DerivedKey {
  readonly id: Buffer
  readonly key: KeyObject
}

/** The keys of several secrets, for one purpose. */
export function derivedKeys({ secrets, purpose }: SignerOptions): readonly DerivedKey[] {
  return secrets.map((secret) => {
    const bytes = derive(secret, { info: purpose, bytes: 32 + ID_BYTES })
    return { key: createSecretKey(bytes.subarray(0, 32)), id: bytes.subarray(32) }
  })
}

export interface Derivation {
  readonly info: string
  readonly bytes: number
  readonly salt?: Uint8Array
}

export function derive(secret: string | KeyObject, { info, bytes, salt = NO_SALT }: Derivation): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, info, bytes))
}

const NO_SALT = new Uint8Array(0)

export class Signer {
  readonly #keys: readonly DerivedKey[]

  constructor(options: SignerOptions) {
    this.#keys = derivedKeys(options)
  }

  /** `of`: what the value is of, such as its key in a store. */
  sign(of: string, value: Uint8Array | string): Buffer {
    const { id, key } = this.#keys[0] as DerivedKey
    return Buffer.concat([id, tagOf(key, of, value)], SIGNATURE_BYTES)
  }

  /** Whether one of the secrets has signed this value as one of `of`. Takes the same time wherever a tag is wrong. */
  verifies(of: string, value: Uint8Array | string, signature: Uint8Array): boolean {
    if (signature.length !== SIGNATURE_BYTES) return false
    const tag = signature.subarray(ID_BYTES)
    return this.#keys.some(
      ({ id, key }) => isOf(signature, id) && timingSafeEqual(tagOf(key, of, value), tag),
    )
  }
}

/** Whether the bytes begin with this id, which is no secret. */
export function isOf(bytes: Uint8Array, id: Uint8Array, at = 0): boolean {
  return id.every((byte, i) => bytes[at + i] === byte)
}

/** The length in front: no name and value together read as another name and value. */
export function labelled(of: string): string {
  return `${of.length}:${of}`
}

function tagOf(key: KeyObject, of: string, value: Uint8Array | string): Buffer {
  return createHmac('sha256', key).update(labelled(of)).update(value).digest()
}
