/**
 * Shared facts on several Memcached servers. Each fact lies on up to three of them, so that none is lost with one server.
 * A value carries its version; the latest holds, so that a server which comes back with what it had before is overruled,
 * and brought up to date with the next reading.
 */
import { randomBytes } from 'node:crypto'

/** One server, as facts need it. */
export interface FactReplica {
  readonly isUp: boolean
  get(key: string): Promise<Buffer | undefined>
  set(key: string, value: Buffer): Promise<unknown>
  /** False: the key has a value already. */
  add(key: string, value: Buffer): Promise<boolean>
}

/** How many servers have a fact. */
export const FACT_REPLICAS = 3

interface Versioned {
  /** The empty string: text that is no fact. */
  readonly version: string
  readonly value: string
}

interface FactReading {
  readonly latest: Versioned | undefined
  /** The servers that have answered, with the versions that they have. */
  readonly answered: readonly { readonly replica: FactReplica; readonly version: string | undefined }[]
}

/** Wall time in base 36, nine digits, a dot and 48 random bits: later versions are greater as text. */
const FORM = /^([0-9a-z]{9}\.[A-Za-z0-9_-]{8}) ([^]*)$/
const DIGITS = 9
const LAST_TIME = 36 ** DIGITS - 2

/** The fact's value; undefined: it has none. Rejects where no server answers. */
export async function readFact(replicas: readonly FactReplica[], key: string): Promise<string | undefined> {
  const reading = await read(replicas, key)
  repair(reading, key)
  return reading.latest?.value
}

/** Replaces the fact on every server that can be asked. Rejects where none took it. */
export async function publishFact(
  replicas: readonly FactReplica[],
  key: string,
  value: string,
): Promise<void> {
  const reading = await read(replicas, key)
  const bytes = printed({ version: versionAfter(reading.latest?.version), value })
  await any(reading.answered.map(({ replica }) => replica.set(key, bytes)))
}

/** The fact's value, which is `value` unless it had one. The first server that can be asked decides between claims. */
export async function claimFact(
  replicas: readonly FactReplica[],
  key: string,
  value: string,
): Promise<string> {
  // A server may evict the fact between two steps; then it can be claimed again.
  for (let attempt = 0; attempt < 3; attempt++) {
    const reading = await read(replicas, key)
    repair(reading, key)
    if (reading.latest) return reading.latest.value
    const bytes = printed({ version: versionAfter(undefined), value })
    const [first, ...others] = reading.answered
    if (!first || !(await put(first, key, bytes))) continue
    await Promise.allSettled(others.map((other) => put(other, key, bytes)))
    return value
  }
  throw new Error('claim: the value comes and goes')
}

async function read(replicas: readonly FactReplica[], key: string): Promise<FactReading> {
  const up = replicas.filter(({ isUp }) => isUp)
  const outcomes = await Promise.allSettled(
    (up.length > 0 ? up : replicas).map((replica) => get(replica, key)),
  )
  const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const [failed] = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
  if (answers.length === 0) throw failed
  const [latest] = answers
    .flatMap(({ fact }) => (fact && fact.version !== '' ? fact : []))
    .sort((a, b) => (a.version < b.version ? 1 : -1))
  return { latest, answered: answers.map(({ replica, fact }) => ({ replica, version: fact?.version })) }
}

async function get(
  replica: FactReplica,
  key: string,
): Promise<{ replica: FactReplica; fact: Versioned | undefined }> {
  return { replica, fact: parse(await replica.get(key)) }
}

/** Brings servers up to date that have an earlier version, or none. Nobody waits for it. */
function repair({ latest, answered }: FactReading, key: string): void {
  if (!latest) return
  const bytes = printed(latest)
  for (const each of answered) if (each.version !== latest.version) put(each, key, bytes).catch(() => {})
}

/** Where there was none another gateway may have put one since, which stays. False: so it was. */
async function put(
  { replica, version }: FactReading['answered'][number],
  key: string,
  bytes: Buffer,
): Promise<boolean> {
  if (version === undefined) return replica.add(key, bytes)
  await replica.set(key, bytes)
  return true
}

function versionAfter(earlier: string | undefined): string {
  const least = earlier === undefined ? 0 : Number.parseInt(earlier, 36) + 1
  const time = Math.max(Date.now(), least).toString(36).padStart(DIGITS, '0')
  return `${time}.${randomBytes(6).toString('base64url')}`
}

function printed({ version, value }: Versioned): Buffer {
  return Buffer.from(`${version} ${value}`)
}

function parse(bytes: Buffer | undefined): Versioned | undefined {
  if (!bytes) return undefined
  const [, version = '', value = ''] = FORM.exec(bytes.toString('utf8')) ?? []
  return Number.parseInt(version, 36) > LAST_TIME ? { version: '', value } : { version, value }
}

/** Resolves when all have settled and one has succeeded; rejects as the first otherwise. */
async function any(works: readonly Promise<unknown>[]): Promise<void> {
  const outcomes = await Promise.allSettled(works)
  const [failed] = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
  if (!outcomes.some(({ status }) => status === 'fulfilled')) throw failed
}
