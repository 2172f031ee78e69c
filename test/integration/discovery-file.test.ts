/** The file source on a real file system: edits, replacements, the link swap of a ConfigMap, and mistakes. */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backendsIn, createFileSource } from '../../src/control/discovery/file.ts'
import type { DiscoverySource, Snapshot } from '../../src/control/discovery/source.ts'
import type { Log } from '../../src/core/log.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { eventually } from '../support/eventually.ts'

let folder: string
const sources: DiscoverySource[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discovery-'))
})
afterEach(async () => {
  for (const source of sources.splice(0)) source.stop()
  await rm(folder, { recursive: true, force: true })
})

const list = (...hosts: string[]) => JSON.stringify(hosts.map((host) => `http://${host}:80`))

function follow(path: string) {
  const snapshots: Snapshot[] = []
  const warnings: string[] = []
  const log: Log = {
    info() {},
    error() {},
    warn: (_event, fields) => void warnings.push(String(fields?.['error'])),
  }
  const source = createFileSource({ path, clock: systemClock, log })
  sources.push(source)
  source.start((snapshot) => void snapshots.push(snapshot))
  const hosts = () => snapshots.at(-1)?.map(({ url = '' }) => new URL(url).hostname)
  return { source, snapshots, warnings, hosts }
}

describe('a file is read again when it', () => {
  it('is written', async () => {
    const path = join(folder, 'backends.json')
    await writeFile(path, list('one'))
    const { hosts } = follow(path)
    await eventually(() => expect(hosts()).toEqual(['one']))
    await writeFile(path, list('one', 'two'))
    await eventually(() => expect(hosts()).toEqual(['one', 'two']))
  })

  it('is replaced', async () => {
    const path = join(folder, 'backends.json')
    await writeFile(path, list('one'))
    const { hosts } = follow(path)
    await eventually(() => expect(hosts()).toEqual(['one']))
    await writeFile(`${path}.new`, list('two'))
    await rename(`${path}.new`, path)
    await eventually(() => expect(hosts()).toEqual(['two']))
  })

  it('lies behind a link that is swapped, as a mounted ConfigMap is', async () => {
    for (const [version, host] of ['one', 'two'].entries()) {
      await mkdir(join(folder, `..v${version}`))
      await writeFile(join(folder, `..v${version}`, 'backends.json'), list(host))
    }
    await symlink('..v0', join(folder, '..data'))
    await symlink(join('..data', 'backends.json'), join(folder, 'backends.json'))
    const { hosts } = follow(join(folder, 'backends.json'))
    await eventually(() => expect(hosts()).toEqual(['one']))
    await symlink('..v1', join(folder, '..data_tmp'))
    await rename(join(folder, '..data_tmp'), join(folder, '..data'))
    await eventually(() => expect(hosts()).toEqual(['two']))
  })

  it('lies in a folder where something always changes', async () => {
    const path = join(folder, 'backends.json')
    await writeFile(path, list('one'))
    const { hosts } = follow(path)
    await eventually(() => expect(hosts()).toEqual(['one']))
    // So often that each reading sees some of them.
    const busy = setInterval(() => void writeFile(join(folder, 'log'), `${performance.now()}`), 1)
    try {
      await writeFile(path, list('two'))
      await eventually(() => expect(hosts()).toEqual(['two']), { timeoutMs: 10_000 })
    } finally {
      clearInterval(busy)
    }
  })

  it('is asked for by a refresh, and tells the same again', async () => {
    const path = join(folder, 'backends.json')
    await writeFile(path, list())
    const { source, snapshots } = follow(path)
    await eventually(() => expect(snapshots).toHaveLength(1))
    source.refresh()
    await eventually(() => expect(snapshots).toHaveLength(2))
  })
})

describe('what was read last stays, and the mistake is said once, when the file', () => {
  it.each([
    ['is cut', '["http://one', /JSON/],
    ['has no list', '{"servers": []}', /"backends"/],
    ['has a bad URL', '["ftp://one"]', /backend 1.*scheme/],
    ['has an unknown field', '[{"url": "http://one", "wieght": 2}]', /"wieght".*known are/],
  ])('%s', async (_name, text, message) => {
    const path = join(folder, 'backends.json')
    await writeFile(path, list('one'))
    const { source, snapshots, warnings, hosts } = follow(path)
    await eventually(() => expect(hosts()).toEqual(['one']))
    await writeFile(path, text)
    await eventually(() => expect(warnings).toEqual([expect.stringMatching(message)]))
    source.refresh()
    await writeFile(path, list('two'))
    await eventually(() => expect(hosts()).toEqual(['two']))
    expect(warnings).toHaveLength(1)
    expect(snapshots).toHaveLength(2)
  })

  it('is gone for a while', async () => {
    const path = join(folder, 'backends.json')
    await writeFile(path, list('one'))
    const { warnings, hosts } = follow(path)
    await eventually(() => expect(hosts()).toEqual(['one']))
    await rm(path)
    await eventually(() => expect(warnings).toEqual([expect.stringMatching(/ENOENT/)]))
    expect(hosts()).toEqual(['one'])
    await writeFile(path, list('two'))
    await eventually(() => expect(hosts()).toEqual(['two']))
  })
})

it('a backend has the fields of a registration', () => {
  const models = ['iris', { name: 'digits', version: '3', digest: 'sha256:a' }]
  const entry = { url: 'http://one:80/', weight: 2, zone: 'a', concurrency: 4, models, labels: { rack: '7' } }
  expect(backendsIn({ backends: [entry] })).toEqual([
    {
      url: 'http://one',
      weight: 2,
      zone: 'a',
      concurrency: 4,
      models: [{ name: 'iris' }, { name: 'digits', version: '3', digest: 'sha256:a' }],
      labels: { rack: '7' },
    },
  ])
  expect(backendsIn([{ grpc: 'http://one:81/' }, { url: 'http://two', grpc: 'https://two:81' }])).toEqual([
    { grpc: 'http://one:81' },
    { url: 'http://two', grpc: 'https://two:81' },
  ])
  expect(() => backendsIn([{ weight: 1 }])).toThrow('neither "url" nor "grpc"')
  expect(() => backendsIn([{ grpc: 1 }])).toThrow('is no text')
})
