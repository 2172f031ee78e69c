/** What the snapshots of several sources mean together, on a clock and with sources that the test owns. */

import { describe, expect, it } from 'vitest'
import { Merge } from '../../../../src/control/discovery/merge.ts'
import type { DiscoverySource, Snapshot } from '../../../../src/control/discovery/source.ts'
import type { FoundBackend } from '../../../../src/control/registry/registration.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

/** A source that tells what the test makes it tell. */
class ToldSource implements DiscoverySource {
  readonly name: string
  refreshes = 0
  apply: ((snapshot: Snapshot) => void) | undefined
  constructor(name: string) {
    this.name = name
  }
  start(apply: (snapshot: Snapshot) => void): void {
    this.apply = apply
  }
  refresh(): void {
    this.refreshes++
  }
  stop(): void {
    this.apply = undefined
  }
  tell(...hosts: string[]): void {
    this.apply?.(hosts.map((host) => ({ url: `http://${host}:80` })))
  }
}

function setUp(...names: string[]) {
  const clock = new FakeClock()
  const sources = names.map((name) => new ToldSource(name))
  let applied: readonly FoundBackend[] = []
  const merge = new Merge({ pool: 'main', clock, log: silentLog, apply: (found) => (applied = found) })
  const follow = (...wanted: ToldSource[]) =>
    merge.follow(new Map(wanted.map((source) => [source.name, () => source])))
  follow(...sources)
  const hosts = () => applied.map(({ url = '' }) => new URL(url).hostname).sort()
  return { clock, sources, merge, follow, hosts, applied: () => applied }
}

describe('the pool has', () => {
  it('what any source names, each address once and described by the first', () => {
    const { sources, hosts, applied } = setUp('a', 'b')
    sources[0]?.tell('one', 'two')
    sources[1]?.tell('two', 'three')
    expect(hosts()).toEqual(['one', 'three', 'two'])
    expect(applied().find(({ url = '' }) => url.includes('two'))?.labels).toEqual({ source: 'a' })
  })

  it('no longer what a source leaves out, unless another names it', () => {
    const { sources, hosts } = setUp('a', 'b')
    sources[0]?.tell('one', 'two')
    sources[1]?.tell('two')
    sources[0]?.tell('one')
    expect(hosts()).toEqual(['one', 'two'])
    sources[1]?.tell('three')
    expect(hosts()).toEqual(['one', 'three'])
  })

  it('no longer what a source named that the settings no longer have', () => {
    const { sources, hosts, follow } = setUp('a', 'b')
    const [a, b] = sources as [ToldSource, ToldSource]
    a.tell('one')
    b.tell('two')
    follow(b)
    expect(hosts()).toEqual(['two'])
    expect(a.apply).toBeUndefined()
  })
})

describe('an empty snapshot', () => {
  it('is believed after two confirmations', () => {
    const { clock, sources, hosts } = setUp('a')
    const [source] = sources as [ToldSource]
    source.tell('one', 'two')
    source.tell()
    for (const refreshes of [1, 2]) {
      expect(hosts()).toEqual(['one', 'two'])
      clock.advance(1000)
      expect(source.refreshes).toBe(refreshes)
      source.tell()
    }
    expect(hosts()).toEqual([])
    expect(clock.pending).toBe(0)
  })

  it('is not confirmed by others that come at the same time', () => {
    const { sources, hosts } = setUp('a')
    const [source] = sources as [ToldSource]
    source.tell('one')
    for (let i = 0; i < 10; i++) source.tell()
    expect(hosts()).toEqual(['one'])
  })

  it('is forgotten when a backend is named again', () => {
    const { clock, sources, hosts } = setUp('a')
    const [source] = sources as [ToldSource]
    source.tell('one')
    source.tell()
    clock.advance(1000)
    source.tell('one')
    source.tell()
    clock.advance(1000)
    source.tell()
    expect(hosts()).toEqual(['one'])
    clock.advance(1000)
    source.tell()
    expect(hosts()).toEqual([])
  })

  it('is taken from a source that never named anybody', () => {
    const { sources, hosts, clock } = setUp('a')
    sources[0]?.tell()
    expect(hosts()).toEqual([])
    expect(clock.pending).toBe(0)
  })

  it('of a source that cannot be asked again changes nothing', () => {
    const { clock, sources, hosts } = setUp('a')
    sources[0]?.tell('one')
    sources[0]?.tell()
    clock.advance(600_000)
    expect(hosts()).toEqual(['one'])
  })
})

it('a stopped merge leaves no timer and no running source', () => {
  const { clock, sources, merge } = setUp('a')
  sources[0]?.tell('one')
  sources[0]?.tell()
  merge.stop()
  expect(clock.pending).toBe(0)
  expect(sources[0]?.apply).toBeUndefined()
})
