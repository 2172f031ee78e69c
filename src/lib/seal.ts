/**
 * Seals over values that lie where others can write: whoever does not know the secret can neither make a value nor give one
 * another name. Either signed, and readable, or encrypted.
 *
 *   signed     1 · key id[4] · HMAC-SHA-256[32] · value
 *   encrypted  2 · key id[4] · salt[16] · nonce[12] · tag[16] · the value under AES-256-GCM, its name as additional data
 *
 * An AES key is derived for each salt, and a salt is used for a bounded number of values: random nonces of 96 bits would
 * otherwise repeat (NIST SP 800-38D, section 8.3, allows 2^32 of them under one key, which busy gateways use up in days).
 */
import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'
import { Generations } from './generations.ts'
import {
  type DerivedKey,
  derive,
  derivedKeys,
  isOf,
  labelled,
  SIGNATURE_BYTES,
  Signer,
  type SignerOptions,
} from './signer.ts'

export interface Seal {
  /** How many bytes a sealed value is longer. */
  readonly overhead: number
  /** `of`: the value's name, such as its key in a store. */
  seal(of: string, value: Uint8Array): Buffer
  /** The value, where it was sealed under this name by somebody with one of the secrets; never throws. */
  open(of: string, sealed: Uint8Array): Uint8Array | undefined
}

export interface SealOptions extends SignerOptions {
  readonly isEncrypted: boolean
}

export function createSeal({ isEncrypted, ...options }: SealOptions): Seal {
  return isEncrypted ? new EncryptingSeal(options) : new SigningSeal(options)
}

const SIGNED = 1
const ENCRYPTED = 2

class SigningSeal implements Seal {
  readonly overhead = 1 + SIGNATURE_BYTES
  readonly #signer: Signer

  constructor(options: SignerOptions) {
    this.#signer = new Signer({ ...options, purpose: `${options.purpose} signed` })
  }

  seal(of: string, value: Uint8Array): Buffer {
    return Buffer.concat([SIGNED_BYTE, this.#signer.sign(of, value), value], this.overhead + value.length)
  }

  open(of: string, sealed: Uint8Array): Uint8Array | undefined {
    if (sealed[0] !== SIGNED || sealed.length < this.overhead) return undefined
    const value = sealed.subarray(this.overhead)
    return this.#signer.verifies(of, value, sealed.subarray(1, this.overhead)) ? value : undefined
  }
}

const SIGNED_BYTE = Buffer.of(SIGNED)
const ID_AT = 1
const SALT_AT = 5
const NONCE_AT = 21
const TAG_AT = 33
const VALUE_AT = 49
/** Values under one salt: far below what random nonces bear. */
const MAX_UNDER_SALT = 2 ** 28
/** Salts whose keys are remembered: two for each process that writes to the same store would do. */
const MAX_SALTS = 256

class EncryptingSeal implements Seal {
  readonly overhead = VALUE_AT
  readonly #info: string
  readonly #keys: readonly DerivedKey[]
  readonly #derived = new Generations<Buffer>(MAX_SALTS)
  #salt: Buffer = EMPTY
  #own: Buffer = EMPTY
  #left = 0

  constructor({ secrets, purpose }: SignerOptions) {
    this.#info = `${purpose} encrypted`
    this.#keys = derivedKeys({ secrets, purpose: this.#info })
  }

  seal(of: string, value: Uint8Array): Buffer {
    const { id } = this.#keys[0] as DerivedKey
    if (this.#left-- === 0) this.#renew()
    const nonce = randomBytes(TAG_AT - NONCE_AT)
    const cipher = createCipheriv('aes-256-gcm', this.#own, nonce).setAAD(Buffer.from(labelled(of)))
    const text = cipher.update(value)
    cipher.final()
    return Buffer.concat([ENCRYPTED_BYTE, id, this.#salt, nonce, cipher.getAuthTag(), text])
  }

  open(of: string, sealed: Uint8Array): Uint8Array | undefined {
    if (sealed[0] !== ENCRYPTED || sealed.length < this.overhead) return undefined
    for (const { id, key } of this.#keys)
      if (isOf(sealed, id, ID_AT)) {
        const value = opened(this.#keyOf(key, sealed), of, sealed)
        if (value) return value
      }
    return undefined
  }

  #renew(): void {
    const { key } = this.#keys[0] as DerivedKey
    this.#left = MAX_UNDER_SALT - 1
    this.#salt = randomBytes(NONCE_AT - SALT_AT)
    this.#own = this.#derive(key, this.#salt)
  }

  #keyOf(key: KeyObject, sealed: Uint8Array): Buffer {
    const name = Buffer.from(sealed.subarray(ID_AT, NONCE_AT)).toString('latin1')
    let derived = this.#derived.get(name)
    if (!derived) {
      derived = this.#derive(key, sealed.subarray(SALT_AT, NONCE_AT))
      this.#derived.set(name, derived)
    }
    return derived
  }

  #derive(key: KeyObject, salt: Uint8Array): Buffer {
    return derive(key, { info: this.#info, bytes: 32, salt })
  }
}

const EMPTY = Buffer.alloc(0)
const ENCRYPTED_BYTE = Buffer.of(ENCRYPTED)

function opened(key: Buffer, of: string, sealed: Uint8Array): Buffer | undefined {
  const nonce = sealed.subarray(NONCE_AT, TAG_AT)
  const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: VALUE_AT - TAG_AT })
  cipher.setAAD(Buffer.from(labelled(of))).setAuthTag(sealed.subarray(TAG_AT, VALUE_AT))
  const value = cipher.update(sealed.subarray(VALUE_AT))
  try {
    cipher.final()
    return value
  } catch {
    return undefined
  }
}
