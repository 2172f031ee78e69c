/**
 * What the header fields mean to the cache, read in one pass: who the caller is, what it requests beside path and body, and
 * why no answer may be stored. Only fields that go on to the backend count: a field that `Connection` takes away from the
 * backend but leaves in the key would store the answer for nobody under somebody's key.
 */
import type { RawPairs } from '../../core/call.ts'
import { CHOOSING_FIELDS, CREDENTIAL_FIELDS, FieldTable, folded } from '../../core/fields.ts'
import { digestOf, printable } from '../../core/key.ts'
import { lastOf } from '../../lib/memo.ts'

export interface Meaning {
  /**
   * A digest of all credential fields in order, never the secret itself; '' for the anonymous caller. A cached answer may
   * only go to a caller to whom the backend would have given it.
   */
  readonly principal: string
  /** The fields that choose the answer, in order, names in lower case. */
  readonly choosing: RawPairs
  /** Why no answer may be stored, in a word for Cache-Status; undefined: nothing is against it. */
  readonly unkeepable: string | undefined
}

/** Fields that say how to read the body. Of several with one name, a server may take any, or join them. */
const SINGLE = [
  'content-type',
  'content-encoding',
  'grpc-encoding',
  'inference-header-content-length',
  'content-range',
]

/** Each makes the answer part of something that happens once: a sequence, a session, an event with its own id. */
const ONCE: Readonly<Record<string, string>> = {
  'ce-id': 'cloudevent',
  'ce-specversion': 'cloudevent',
  'ts-request-sequence-id': 'sequence',
  'ts-request-sequence-start': 'sequence',
  'ts-request-sequence-end': 'sequence',
  'x-amzn-sagemaker-session-id': 'session',
}

type FieldRole = 'credential' | 'choosing' | 'single' | 'once'

const KINDS = new FieldTable<FieldRole>([
  ...CREDENTIAL_FIELDS.map((name) => [name, 'credential'] as const),
  ...CHOOSING_FIELDS.map((name) => [name, 'choosing'] as const),
  ...SINGLE.map((name) => [name, 'single'] as const),
  ...Object.keys(ONCE).map((name) => [name, 'once'] as const),
])

/** Whether the field decides what is answered, or to whom. `Connection` may not take such a field away. */
export function isDeciding(name: string): boolean {
  return KINDS.get(name) !== undefined
}

const NONE: RawPairs = []

/** `headers`: the fields that go on to the backend. Several callers ask about the same head in a row, so one is remembered. */
export const meaningOf: (headers: RawPairs) => Meaning = lastOf(read)

export function principalOf(headers: RawPairs): string {
  return meaningOf(headers).principal
}

function read(headers: RawPairs): Meaning {
  let credentials = ''
  let choosing: string[] | undefined
  let single = ''
  let unkeepable: string | undefined
  for (let i = 0; i < headers.length; i += 2) {
    const written = headers[i] as string
    const kind = KINDS.get(written)
    if (kind === undefined) continue
    const name = written.toLowerCase()
    const value = headers[i + 1] as string
    if (kind === 'credential') credentials += `${name}:${value.length}:${value};`
    else if (kind === 'choosing') (choosing ??= []).push(name, value)
    else if (kind === 'once') unkeepable ??= ONCE[folded(name)]
    else if (single.includes(`${name};`)) unkeepable ??= `repeated ${name}`
    // Some servers would read such a spelling, others not.
    else if (name.includes('_')) unkeepable ??= `spelling of ${folded(name)}`
    else single += `${name};`
    if (name === 'content-range') unkeepable ??= name
  }
  return {
    principal: credentials === '' ? '' : printable(digestOf(credentials)),
    choosing: choosing ?? NONE,
    unkeepable,
  }
}
