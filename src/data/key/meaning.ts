/**
 * What the fields of a head mean to the cache, told in one pass: who asks, what is asked beside path and body, and why no
 * answer to it may be kept. Of the fields that go on to the backend and no others: a field that `Connection` takes away
 * from the backend but leaves in the key would store an answer for nobody under somebody's key.
 */
import type { RawPairs } from '../../core/call.ts'
import { CHOOSING_FIELDS, CREDENTIAL_FIELDS, FieldTable, folded } from '../../core/fields.ts'
import { digestOf, printable } from '../../core/key.ts'
import { lastOf } from '../../lib/memo.ts'

export interface Meaning {
  /**
   * A digest of all credential fields in their order, or '' for the anonymous caller. Never the secret itself. A cached
   * answer may only go to a caller whom the backend would have given it.
   */
  readonly principal: string
  /** The fields that choose what answers, names in lower case, in their order. */
  readonly choosing: RawPairs
  /** Why no answer to such a head may be kept, in a word for Cache-Status; undefined: nothing is against it. */
  readonly unkeepable: string | undefined
}

/** They say how the body is read. A server may take any of several, and joins them or not. */
const SINGLE = ['content-type', 'content-encoding', 'inference-header-content-length', 'content-range']

/** Each makes the answer part of something that happens once: a sequence, a session, an event with an id of its own. */
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

/** Whether the field decides what is answered, or to whom: `Connection` may not take it away. */
export function isDeciding(name: string): boolean {
  return KINDS.get(name) !== undefined
}

const NONE: RawPairs = []

/** `headers`: those that go on to the backend. A call's head is asked about several times in a row. */
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
    // Some servers would read it, others not.
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
