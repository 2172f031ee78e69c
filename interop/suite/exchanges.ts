/** HTTP exchanges, asked directly and through gateways, first and again. */
import { homedir } from 'node:os'
import { type Answer, type Ask, ask, cacheStatus, isHit } from './ask.ts'
import { difference, type Invented } from './compare.ts'
import type { Gateway } from './gateway.ts'
import { ROOT } from './places.ts'
import type { Session } from './session.ts'
import { encodeBytes, type WireExchange, writeWire } from './wire.ts'

export interface Exchange extends Ask {
  readonly name: string
  /** What the gateway promises of the same call when it comes again. */
  readonly again: 'hit' | 'forwarded'
}

export interface Exchanges {
  /** What they have in common, for the page. */
  readonly group: string
  /** The server itself. */
  readonly direct: string
  readonly gateways: readonly Gateway[]
  readonly invented?: Invented
  readonly exchanges: readonly Exchange[]
}

/** One check an exchange: through every gateway it must be answered as directly, twice. */
export async function tryExchanges(session: Session, options: Exchanges): Promise<void> {
  if (session.recording) return record(session, options)
  for (const exchange of options.exchanges) {
    await session.check(options.group, exchange.name, () => tryExchange(exchange, options))
  }
}

/** Writes what the first of the gateways sent for each call; what it knew already it asks nobody. */
async function record(session: Session, { group, gateways, exchanges }: Exchanges): Promise<void> {
  const recording = gateways[0]?.recording
  if (!recording) return
  const { recorder, settings } = recording
  const kept: WireExchange[] = []
  for (const { name, again, method, path, fields = {}, body } of exchanges) {
    const verb = method ?? (body === undefined ? 'GET' : 'POST')
    const answer = await ask(gateways[0]?.url ?? '', {
      method: verb,
      path,
      fields,
      ...(body === undefined ? {} : { body }),
    })
    const bytes = recorder.latest(`${verb} ${path} `)
    if (!bytes || isHit(answer) || namesThisMachine(bytes.received)) continue
    kept.push({
      ...{ name, again, method: verb, path, fields },
      ...(body === undefined ? {} : { body: encodeBytes(Buffer.from(body)) }),
      sent: encodeBytes(bytes.sent),
      received: encodeBytes(bytes.received),
    })
  }
  if (kept.length === 0) return
  const { software, commands } = session
  const date = new Date().toISOString().slice(0, 10)
  writeWire(session.system.name, group, { software, commands, date, settings, exchanges: kept })
}

/** A server's trace of its own code says where this machine keeps it, which is no business of a file that is committed. */
export const namesThisMachine = (bytes: Buffer): boolean =>
  [ROOT, homedir()].some((path) => bytes.includes(path))

async function tryExchange(exchange: Exchange, options: Exchanges): Promise<string | undefined> {
  const wanted = await ask(options.direct, exchange)
  for (const gateway of options.gateways) {
    const first = await ask(gateway.url, exchange)
    const again = await ask(gateway.url, exchange)
    const seen =
      differs('first', wanted, first, options.invented) ??
      differs('again', wanted, again, options.invented) ??
      broken(exchange, again)
    if (seen !== undefined) return `${gateway.name}, ${seen}`
  }
  return undefined
}

function differs(when: string, wanted: Answer, got: Answer, invented?: Invented): string | undefined {
  const seen = difference(wanted, got, invented)
  return seen === undefined ? undefined : `${when}: ${seen}`
}

function broken({ again }: Exchange, answer: Answer): string | undefined {
  if ((again === 'hit') === isHit(answer)) return undefined
  return again === 'hit'
    ? `again: no hit (${cacheStatus(answer)})`
    : `again: a hit where none is promised (${cacheStatus(answer)})`
}

/** A body of JSON with the field that says so. */
export const json = (body: unknown): Pick<Ask, 'fields' | 'body'> => ({
  fields: { 'content-type': 'application/json' },
  body: typeof body === 'string' ? body : JSON.stringify(body),
})
