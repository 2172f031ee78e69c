import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  electPrimary,
  isAnew,
  type PrimaryVote,
  readPrimary,
} from '../../../../../src/data/cache/tiers/redis-primary-vote.ts'
import { type RedisReply, RespError } from '../../../../../src/data/cache/tiers/redis-reply.ts'

const vote = (host: string, epoch: number): PrimaryVote => ({ address: { host, port: 6379 }, epoch })
const texts = (...all: string[]) => all.map((text) => Buffer.from(text))
const hosts = (votes: PrimaryVote[], known: PrimaryVote | undefined, sentinels = 3) =>
  electPrimary(votes, known, sentinels)?.address.host

describe('the primary by what Sentinels say', () => {
  it('is that of the latest failover', () => {
    expect(hosts([vote('old', 1), vote('old', 1), vote('new', 2)], undefined)).toBe('new')
    expect(hosts([vote('new', 2)], vote('old', 1))).toBe('new')
  })

  it('is not given up for what one says that was cut off', () => {
    expect(hosts([vote('old', 1)], vote('new', 2))).toBe('new')
    expect(hosts([], vote('new', 2))).toBe('new')
    expect(hosts([], undefined)).toBeUndefined()
  })

  it('is not given up for what most say that have not heard of the failover', () => {
    expect(hosts([vote('old', 1), vote('old', 1)], vote('new', 2))).toBe('new')
  })

  it('is another one where most were set up anew', () => {
    const anew = (host: string): PrimaryVote => ({ ...vote(host, 0), isAnew: true })
    expect(hosts([anew('other'), anew('other')], vote('new', 2))).toBe('other')
    expect(hosts([anew('other'), anew('third')], vote('new', 2))).toBe('new')
    expect(hosts([anew('other'), vote('other', 0)], vote('new', 2))).toBe('new')
    expect(hosts([anew('other')], vote('new', 2), 1)).toBe('other')
  })

  it('knows a Sentinel that was set up anew by what it said before', () => {
    expect(isAnew(vote('a', 1), undefined)).toBe(false)
    expect(isAnew(vote('a', 1), vote('a', 1))).toBe(false)
    expect(isAnew(vote('b', 2), vote('a', 1))).toBe(false)
    expect(isAnew(vote('a', 0), vote('a', 1))).toBe(true)
    expect(isAnew(vote('b', 0), vote('a', 0))).toBe(true)
    expect(isAnew(vote('b', 0), { ...vote('b', 0), isAnew: true })).toBe(true)
    expect(isAnew(vote('c', 1), { ...vote('b', 0), isAnew: true })).toBe(false)
  })

  it('is what most say, or what it was, where the failover is the same', () => {
    expect(hosts([vote('a', 1), vote('b', 1), vote('b', 1)], vote('a', 1))).toBe('b')
    expect(hosts([vote('b', 1), vote('a', 1)], vote('a', 1))).toBe('a')
  })

  it('is always one that was named, and never of an earlier failover than most know', () => {
    const votes = fc.record({ host: fc.constantFrom('a', 'b', 'c'), epoch: fc.nat(3) })
    fc.assert(
      fc.property(fc.array(votes, { maxLength: 5 }), fc.option(votes), (said, known) => {
        const given = said.map(({ host, epoch }) => vote(host, epoch))
        const before = known ? vote(known.host, known.epoch) : undefined
        const elected = electPrimary(given, before, 5)
        if (!elected) return given.length === 0 && before === undefined
        expect([...given, before]).toContainEqual(elected)
        const latest = Math.max(...given.map(({ epoch }) => epoch), -1)
        return elected.epoch >= latest || elected === before
      }),
    )
  })
})

describe('what a Sentinel says', () => {
  const described = texts('name', 'main', 'config-epoch', '12', 'quorum', '2')

  it('is read from both of its answers', () => {
    expect(readPrimary(texts('10.0.0.1', '6379'), described)).toEqual(vote('10.0.0.1', 12))
    expect(readPrimary(texts('redis-0.redis.svc', '1'), described)?.address).toEqual({
      host: 'redis-0.redis.svc',
      port: 1,
    })
  })

  it.each<[string, RedisReply, RedisReply]>([
    ['nobody', null, described],
    ['an error', new RespError('ERR'), described],
    ['no host', texts('', '6379'), described],
    ['a host that is none', texts('a b', '6379'), described],
    ['a port that is none', texts('a', '65536'), described],
    ['no port', texts('a'), described],
    ['a number for the host', [1, Buffer.from('1')], described],
    ['no epoch', texts('a', '1'), texts('name', 'config-epoch')],
    ['an epoch that is none', texts('a', '1'), texts('config-epoch', '-1')],
    ['an epoch beyond all numbers', texts('a', '1'), texts('config-epoch', '9'.repeat(16))],
    ['a number for the description', texts('a', '1'), 1],
  ])('%s names no primary', (_, named, other) => {
    expect(readPrimary(named, other)).toBeUndefined()
  })
})
