/** What followers of the events are told, and when nobody is asked. */
import { beforeEach, expect, it } from 'vitest'
import type { LiveSource } from '../../../../src/control/admin/contract.ts'
import type { EncodedEvent } from '../../../../src/control/admin/events.ts'
import { LiveFeed } from '../../../../src/control/admin/feed.ts'
import type { LiveEvent } from '../../../../src/core/live.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { eventually } from '../../../support/eventually.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

let clock: FakeClock
let state: LiveEvent[]
let counts: () => Promise<LiveEvent[]>
let asked: { state: number; counts: number }
let followers: number
let sent: string[]
let log: ((line: string) => void) | undefined
let feed: LiveFeed

const told = (events: readonly EncodedEvent[]) =>
  events.map(({ text }) => text.replace(/^event: (.*)\ndata: (.*)\n\n$/s, '$1 $2'))

beforeEach(() => {
  clock = new FakeClock()
  state = [{ event: 'gateway', data: { ready: true } }]
  counts = async () => []
  asked = { state: 0, counts: 0 }
  followers = 1
  sent = []
  const live: LiveSource = {
    state: () => (asked.state++, state),
    counts: () => (asked.counts++, counts()),
    past: () => ['{"event":"old"}'],
    follow(listener) {
      log = listener
      return () => (log = undefined)
    },
  }
  const send = (events: readonly EncodedEvent[]) => {
    sent.push(...told(events))
    return followers > 0
  }
  feed = new LiveFeed({ clock, log: silentLog, live, send })
})

it('tells a new follower everything, and from then on what has changed', async () => {
  expect(told(feed.present())).toEqual(['gateway {"ready":true}', 'log {"event":"old"}'])
  clock.advance(500)
  expect(sent).toEqual([])
  state = [{ event: 'gateway', data: { ready: false } }]
  clock.advance(500)
  expect(sent).toEqual(['gateway {"ready":false}'])
  log?.('{"event":"new"}')
  expect(sent.at(-1)).toBe('log {"event":"new"}')
  expect(told(feed.present())[0]).toBe('gateway {"ready":false}')
})

it('says what is gone, of the kinds that were looked at', async () => {
  counts = async () => [{ event: 'model', name: 'a', data: 1 }]
  state = [{ event: 'traffic', name: 'p', data: 1 }]
  feed.present()
  await eventually(() => expect(sent).toEqual(['model 1']))
  state = []
  clock.advance(500)
  expect(sent.at(-1)).toBe('gone {"event":"traffic","name":"p"}')
})

it('asks nobody while nobody follows, and one that hangs only once', async () => {
  clock.advance(5_000)
  expect(asked).toEqual({ state: 0, counts: 0 })
  counts = () => new Promise(() => {})
  feed.present()
  clock.advance(5_000)
  expect(asked).toEqual({ state: 11, counts: 1 })
  followers = 0
  clock.advance(500)
  expect(clock.pending).toBe(0)
  expect(log).toBeUndefined()
})
