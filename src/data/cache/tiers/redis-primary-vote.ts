/**
 * What Redis Sentinels say of the primary, and which of them is right. Each failover has a higher epoch than the one before
 * (`config-epoch`), so a Sentinel that is cut off from the others, and still names the old primary, says so under a
 * lower one.
 */
import type { HostPort } from '../../../core/addresses.ts'
import type { RedisReply } from './redis-reply.ts'
import { addressOf, nameOf } from './redis-slots.ts'

/** The primary, as one Sentinel names it. */
export interface PrimaryVote {
  readonly address: HostPort
  readonly epoch: number
  /** The Sentinel was set up anew since it was asked first. */
  readonly isAnew?: boolean
}

/** Whether a Sentinel was set up anew, by its vote and the one before: no failover leads from one to the other. */
export function isAnew(vote: PrimaryVote, last: PrimaryVote | undefined): boolean {
  if (!last || vote.epoch > last.epoch) return false
  if (vote.epoch < last.epoch || nameOf(vote.address) !== nameOf(last.address)) return true
  return last.isAnew ?? false
}

/**
 * Parses the replies to `SENTINEL GET-MASTER-ADDR-BY-NAME` (host and port) and `SENTINEL MASTER` (names and values in turn);
 * undefined where one of them makes no sense.
 */
export function readPrimary(named: RedisReply, described: RedisReply): PrimaryVote | undefined {
  if (!Array.isArray(named) || !Array.isArray(described)) return undefined
  const [host, port] = (named as readonly RedisReply[]).map(textOf)
  const address = addressOf(Buffer.from(host ?? ''), numberOf(port))
  const texts = (described as readonly RedisReply[]).map(textOf)
  const at = texts.findIndex((text, i) => i % 2 === 0 && text === 'config-epoch')
  const epoch = at < 0 ? undefined : numberOf(texts[at + 1])
  return address && epoch !== undefined ? { address, epoch } : undefined
}

/**
 * The primary by these votes, of `sentinels` that could vote. A later epoch wins, among equal ones the address with the most
 * votes, and of those the known one. The epoch falls only where most Sentinels were set up anew: others that name an earlier
 * one have not heard of the failover yet.
 */
export function electPrimary(
  votes: readonly PrimaryVote[],
  known: PrimaryVote | undefined,
  sentinels: number,
): PrimaryVote | undefined {
  const latest = Math.max(...votes.map(({ epoch }) => epoch))
  const counts = new Map<string, { readonly vote: PrimaryVote; count: number; anew: number }>()
  for (const vote of votes) {
    if (vote.epoch !== latest) continue
    const entry = counts.get(nameOf(vote.address)) ?? { vote, count: 0, anew: 0 }
    entry.count++
    if (vote.isAnew) entry.anew++
    counts.set(nameOf(vote.address), entry)
  }
  const ranked = [...counts.values()].sort(
    (a, b) => b.count - a.count || Number(isSame(b.vote, known)) - Number(isSame(a.vote, known)),
  )
  const [best] = ranked
  if (!best) return known
  const isBehind = known !== undefined && best.vote.epoch < known.epoch
  return isBehind && best.anew <= sentinels / 2 ? known : best.vote
}

function isSame({ address }: PrimaryVote, known: PrimaryVote | undefined): boolean {
  return known !== undefined && nameOf(address) === nameOf(known.address)
}

function textOf(reply: RedisReply): string | undefined {
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : undefined
}

/** A whole number that is exact in JavaScript. */
function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
