/** HTTP exchanges, asked directly and through gateways, first and again. */
import { type Answer, type Ask, ask, cacheStatus, isHit } from './ask.ts'
import { difference, type Invented } from './compare.ts'
import type { Gateway } from './gateway.ts'
import type { Session } from './session.ts'

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
  for (const exchange of options.exchanges) {
    await session.check(options.group, exchange.name, () => tryExchange(exchange, options))
  }
}

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
