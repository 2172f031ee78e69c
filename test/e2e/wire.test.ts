/**
 * What real servers said, played back byte for byte: the gateway sends them what it sent when this was recorded, its
 * clients read what they said, and what it promises to keep it keeps. `npm run interop -- --record` makes the files.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ask, isHit } from '../../interop/suite/ask.ts'
import { parsed } from '../../interop/suite/compare.ts'
import { settingsFor } from '../../interop/suite/gateway.ts'
import { askOf, decodeBytes, type WireFile } from '../../interop/suite/wire.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { type Playback, split, startPlayback, unchunked } from '../support/playback.ts'

const FOLDER = join(import.meta.dirname, '..', 'golden', 'wire')

interface Stage {
  readonly playback: Playback
  readonly gateway: RunningGateway
}

const stages = new Map<string, Promise<Stage>>()

/** One server and one gateway for all files with the same settings. */
function stage({ settings }: WireFile): Promise<Stage> {
  const key = JSON.stringify(settings)
  const running = stages.get(key) ?? open(settings)
  stages.set(key, running)
  return running
}

async function open(settings: WireFile['settings']): Promise<Stage> {
  const playback = await startPlayback()
  const gateway = await startGateway({
    yaml: { ...settingsFor(settings, playback.url), server: { workers: 1 } },
  })
  return { playback, gateway }
}

afterAll(async () => {
  for (const running of stages.values()) await (await running).playback.close()
})

// Where the server is, by which hops a request came, and its id are of the place where it was recorded.
const OF_THE_PLACE = /^(host|via|x-forwarded-[a-z]+|forwarded|x-request-id): /i

const settled = (head: string): string[] => {
  const [line = '', ...fields] = head.split('\r\n').filter((each) => !OF_THE_PLACE.test(each))
  return [line, ...fields.sort()]
}

// A generation that is given again has an id of its own.
const OF_ONE_ANSWER = /"id": ?"(?:chat)?cmpl-[^"]*"/g

/** JSON by its meaning, all else as it is. The gateway leaves out an id that a server gave to a caller who has none. */
function meaning(body: Buffer, asked: string): unknown {
  const json = parsed(body.toString().replaceAll(OF_ONE_ANSWER, '"id":""'))
  if (json === undefined) return body.toString('latin1').replaceAll(OF_ONE_ANSWER, '"id":""')
  const isServers = typeof json === 'object' && json !== null && 'outputs' in json && !asked.includes('"id"')
  return isServers ? { ...json, id: undefined } : json
}

for (const path of globSync('*/*.json', { cwd: FOLDER }).sort()) {
  const file = JSON.parse(readFileSync(join(FOLDER, path), 'utf8')) as WireFile
  describe(`${path.replace('.json', '')}: ${Object.entries(file.software).flat().join(' ')}`, () => {
    for (const exchange of file.exchanges) {
      test(`${exchange.name}, first and again`, async () => {
        const { playback, gateway } = await stage(file)
        const line = `${exchange.method} ${exchange.path} `
        // Another group may have left the same call, or one that is equal in meaning.
        await gateway.ask('/api/v1/cache/purge', { method: 'POST', body: { all: true } })
        playback.play(line, decodeBytes(exchange.received))
        const asked = exchange.body ? decodeBytes(exchange.body).toString() : ''
        const before = playback.sent(line).length
        const first = await ask(gateway.url, askOf(exchange))
        const received = split(decodeBytes(exchange.received))
        expect(first.status).toBe(Number(received.head.split(' ')[1]))
        expect(meaning(first.body, asked)).toEqual(meaning(unchunked(received), asked))
        const wanted = split(decodeBytes(exchange.sent))
        // The gateway may have asked for the same by itself meanwhile.
        const sent = playback.sent(line).slice(before).map(split)
        const heads = sent.map(({ head }) => settled(head))
        expect(heads).toContainEqual(settled(wanted.head))
        expect(sent.some(({ body }) => body.equals(wanted.body))).toBe(true)
        const again = await ask(gateway.url, askOf(exchange))
        expect(isHit(again)).toBe(exchange.again === 'hit')
        expect(again.status).toBe(first.status)
        expect(meaning(again.body, asked)).toEqual(meaning(first.body, asked))
      })
    }
  })
}
