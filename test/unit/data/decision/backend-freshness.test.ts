/** What a backend says of its answer's freshness, on predictions: the route's ttl is the bound of it. */
import { describe, expect, it } from 'vitest'
import {
  bodyOf,
  createWorld,
  json,
  predictions,
  type World,
  type WorldOptions,
} from '../../../support/pipeline.ts'

const ONE = bodyOf([1])
const says = (headers: readonly string[], options: WorldOptions = {}) =>
  createWorld({
    ...options,
    script: ({ instances }) => ({
      ...predictions(instances),
      headers: ['content-type', 'application/json', ...headers],
    }),
  })
const ask = (world: World, body = ONE) => world.run((world.gateways[0] as World['gateways'][0]).ask(body))
const date = (world: World, ms: number) => new Date(world.clock.wall() + ms).toUTCString()

describe('a prediction', () => {
  it.each([
    ['no-cache', ['Cache-Control', 'no-cache']],
    ['no-cache among others', ['Cache-Control', 'max-age=60, no-cache']],
    ['max-age=0', ['Cache-Control', 'max-age=0']],
    ['s-maxage=0', ['Cache-Control', 'max-age=60, s-maxage=0']],
    ['an Expires that has passed', ['Expires', 'Thu, 01 Jan 1970 00:00:00 GMT']],
    ['an Expires that is no date', ['Expires', '-1']],
    ['an Age beyond it', ['Cache-Control', 'max-age=60', 'Age', '60']],
    ['no-store', ['Cache-Control', 'no-store']],
    ['private', ['Cache-Control', 'private']],
  ])('is not kept: %s', async (_, headers) => {
    const world = says(headers)
    expect((await ask(world)).outcome).toMatchObject({ kind: 'miss', stored: false })
    expect((await ask(world)).outcome).toMatchObject({ kind: 'miss' })
    expect(world.asked).toHaveLength(2)
  })

  it.each<[string, (world: World) => readonly string[], number]>([
    ['max-age', () => ['Cache-Control', 'max-age=10'], 10_000],
    ['s-maxage', () => ['Cache-Control', 'max-age=5, s-maxage=10'], 10_000],
    ['max-age less Age', () => ['Cache-Control', 'max-age=30', 'Age', '20'], 10_000],
    ['Expires', (world) => ['Expires', date(world, 10_000), 'Date', date(world, 0)], 10_000],
    ['the route’s ttl where it says more', () => ['Cache-Control', 'max-age=600'], 60_000],
    ['the route’s ttl where it says nothing', () => [], 60_000],
  ])('is kept by %s', async (_, headers, ms) => {
    const world = says([])
    const said = headers(world)
    world.script = ({ instances }) => json(JSON.stringify({ predictions: instances }), said)
    await ask(world)
    await world.pass(ms - 1500)
    expect((await ask(world)).outcome).toMatchObject({ kind: 'hit' })
    await world.pass(2000)
    expect((await ask(world)).outcome).toMatchObject({ kind: 'miss' })
  })

  it('has the age that it came with', async () => {
    const world = says(['Cache-Control', 'max-age=30', 'Age', '20'])
    await ask(world)
    expect((await ask(world)).age).toBe(20)
  })

  it('in a batch has the bounds of the answer it was cut from', async () => {
    const world = says(['Cache-Control', 'max-age=10'])
    await ask(world, bodyOf([1, 2]))
    await world.pass(9000)
    expect((await ask(world, bodyOf([2, 1]))).outcome).toMatchObject({ kind: 'hit' })
    await world.pass(2000)
    expect((await ask(world, bodyOf([2]))).outcome).toMatchObject({ kind: 'miss' })
  })

  it.each([
    ['must-revalidate', 'max-age=10, must-revalidate'],
    ['proxy-revalidate', 'max-age=10, proxy-revalidate'],
    ['s-maxage', 's-maxage=10'],
    ['stale-if-error=0', 'max-age=10, stale-if-error=0'],
  ])('is not given when it is too old: %s', async (_, control) => {
    const world = says(['Cache-Control', control], { cache: { staleIfError: 60_000 } })
    await ask(world)
    await world.pass(11_000)
    world.script = () => json('{"error": "down"}', [], 503)
    expect((await ask(world)).status).toBe(503)
  })

  it('is kept of servers that say no-store without meaning it', async () => {
    const world = says(['Cache-Control', 'no-cache; no-store, private', 'Expires', '0'], {
      cache: { heedBackend: false },
    })
    await ask(world)
    expect((await ask(world)).outcome).toMatchObject({ kind: 'hit', ttlMs: expect.any(Number) })
    expect(world.asked).toHaveLength(1)
  })
})
