import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { onnx } from '../../../src/model/onnx.ts'
import { Repository } from '../../../src/model/repository.ts'
import type { Tensors } from '../../../src/model/runtime.ts'
import { eventually } from '../../support/eventually.ts'
import { echoModel, timesModel } from '../../support/onnx-graph.ts'

let directory: string
let repository: Repository | undefined
let changes: number
let problems: string[]
/** How often the source was looked at. */
let stats: number

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'infergate-models-'))
  changes = 0
  problems = []
  stats = 0
})

afterEach(async () => {
  repository?.close()
  repository = undefined
  await rm(directory, { recursive: true })
})

async function open(source: string, delayMs = 0): Promise<Repository> {
  repository = new Repository({
    runtime: {
      ...onnx,
      get extension() {
        stats++
        return onnx.extension
      },
    },
    sources: [{ name: 'm', source }],
    pollMs: 20,
    maxBatch: 8,
    delayMs,
    onChange: () => {
      changes += 1
    },
    onProblem: (_, reason) => problems.push(reason),
  })
  await repository.open()
  return repository
}

/** Writes beside and renames, so that no half-written file is ever seen. */
async function put(file: string, bytes: Uint8Array): Promise<void> {
  await writeFile(`${file}.part`, bytes)
  await rename(`${file}.part`, file)
}

const ones: Tensors = new Map([['x', { datatype: 'FP32', shape: [1], data: Float32Array.of(1) }]])

const answer = async (from: Repository, version?: string): Promise<number> => {
  const outputs = await from.find('m', version).runner.run(ones)
  return Number(outputs.get('y')?.data[0])
}

describe('the repository', () => {
  it('serves a file as version 1, with the digest of its bytes', async () => {
    const file = join(directory, 'm.onnx')
    await put(file, timesModel(2))
    const models = await open(pathToFileURL(file).href)

    const digest = createHash('sha256').update(timesModel(2)).digest('hex')
    expect(models.find('m')).toMatchObject({ version: '1', digest: `sha256:${digest}` })
    expect(models.find('m').inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [-1] }])
    expect(await answer(models)).toBe(2)
  })

  it('serves the highest version by default and the others by number', async () => {
    for (const version of [2, 9, 10]) {
      await mkdir(join(directory, String(version)))
      await put(join(directory, String(version), 'model.onnx'), timesModel(version))
    }
    await mkdir(join(directory, 'notes'))
    const models = await open(directory)

    expect(models.versions('m').map(({ version }) => version)).toEqual(['10', '9', '2'])
    expect(await answer(models)).toBe(10)
    expect(await answer(models, '2')).toBe(2)
    expect(() => models.find('m', '3')).toThrow('Specific(m, 3)')
    expect(() => models.find('other')).toThrow('Latest(other)')
  })

  it('takes a new version when its directory is complete, and lets go of one that is removed', async () => {
    await mkdir(join(directory, '1'))
    await put(join(directory, '1', 'a.onnx'), timesModel(1))
    const models = await open(directory)
    await mkdir(join(directory, '2'))
    await put(join(directory, '2', 'b.onnx'), timesModel(2))

    await eventually(async () => expect(await answer(models)).toBe(2))
    expect(await answer(models, '1')).toBe(1)
    await rm(join(directory, '1'), { recursive: true })
    await eventually(() => expect(() => models.find('m', '1')).toThrow('Specific'))
    expect(changes).toBe(2)
  })

  it('takes a new version beside one that cannot be looked at, says so once, and takes that one when it can', async () => {
    for (const version of ['1', '3']) await mkdir(join(directory, version))
    await put(join(directory, '1', 'model.onnx'), timesModel(1))
    // A link to itself, for which even root gets ELOOP.
    await symlink('model.onnx', join(directory, '3', 'model.onnx'))
    await symlink('2', join(directory, '2'))
    const models = await open(directory)
    expect(models.versions('m').map(({ version }) => version)).toEqual(['1'])
    await mkdir(join(directory, '4'))
    await put(join(directory, '4', 'model.onnx'), timesModel(4))
    await eventually(async () => expect(await answer(models)).toBe(4))
    expect(problems).toEqual([
      expect.stringMatching(/3.model\.onnx: .*ELOOP/),
      expect.stringMatching(/2: .*ELOOP/),
    ])

    await rm(join(directory, '3', 'model.onnx'))
    await put(join(directory, '3', 'model.onnx'), timesModel(3))
    await eventually(async () => expect(await answer(models, '3')).toBe(3))
    // What serves already goes on while it cannot be looked at.
    await rm(join(directory, '4', 'model.onnx'))
    await symlink('model.onnx', join(directory, '4', 'model.onnx'))
    await eventually(() => expect(problems).toHaveLength(3))
    expect(await answer(models)).toBe(4)
  })

  it('replaces a changed file, and finishes on the old one the calls that run on it', async () => {
    const file = join(directory, 'm.onnx')
    await put(file, timesModel(2))
    const models = await open(file, 300)
    const old = models.find('m')
    const running = answer(models)
    await put(file, timesModel(3))

    await eventually(() => expect(models.find('m').digest).not.toBe(old.digest))
    expect(await running).toBe(2)
    expect(await answer(models)).toBe(3)
    expect(() => old.runner.run(ones)).toThrow('just been replaced')
    expect(changes).toBe(1)
  })

  it('keeps the model when the new file is none, says so once, and takes the next good one', async () => {
    const file = join(directory, 'm.onnx')
    await put(file, timesModel(2))
    const models = await open(file)
    await put(file, Buffer.from('not a model'))

    await eventually(() => expect(problems).toHaveLength(1))
    expect(problems[0]).toContain('m.onnx')
    expect(await answer(models)).toBe(2)
    await put(file, timesModel(5))
    await eventually(async () => expect(await answer(models)).toBe(5))
    expect(problems).toHaveLength(1)
  })

  it('takes a touched file with the same bytes for the same deployment', async () => {
    const file = join(directory, 'm.onnx')
    await put(file, timesModel(2))
    const models = await open(file)
    const { runner } = models.find('m')
    await utimes(file, new Date(0), new Date(0))
    await put(join(directory, 'other.onnx'), timesModel(3))
    await rename(join(directory, 'other.onnx'), file)

    await eventually(async () => expect(await answer(models)).toBe(3))
    expect(models.find('m').runner).not.toBe(runner)
    expect(changes).toBe(1)
  })

  it('serves on when its file disappears', async () => {
    const file = join(directory, 'm.onnx')
    await put(file, timesModel(2))
    const models = await open(file)
    await rm(file)

    await eventually(() => expect(problems).toHaveLength(1))
    expect(await answer(models)).toBe(2)
  })

  it.each([
    ['a source that is not there', undefined, 'no model at'],
    ['a file that is no model', Buffer.from('x'), 'not a model ONNX Runtime can load'],
    ['a model of a datatype JSON has no form for', echoModel('FP16'), 'export it as float32'],
  ])('refuses %s', async (_, bytes, said) => {
    const file = join(directory, 'm.onnx')
    if (bytes) await put(file, bytes)
    await expect(open(file)).rejects.toThrow(said)
  })

  it('says once that its file cannot be looked at, and again after it could be', async () => {
    const file = join(directory, 'm.onnx')
    await put(file, timesModel(2))
    await open(file)
    for (const factor of [3, 4]) {
      await rm(file)
      await symlink('m.onnx', file)
      await eventually(() => expect(problems.at(-1)).toMatch(/^ELOOP/))
      const polls = stats
      await eventually(() => expect(stats).toBeGreaterThan(polls + 3))
      await rm(file)
      await put(file, timesModel(factor))
      await eventually(() => expect(changes).toBe(factor - 2))
    }
    expect(problems.filter((problem) => problem.startsWith('ELOOP'))).toHaveLength(2)
  })

  it('begins with the versions that load, and reports the others once', async () => {
    for (const version of ['1', '2']) await mkdir(join(directory, 'm', version), { recursive: true })
    await put(join(directory, 'm', '1', 'model.onnx'), timesModel(2))
    await put(join(directory, 'm', '2', 'model.onnx'), Buffer.from('x'))
    const models = await open(join(directory, 'm'))
    expect(await answer(models)).toBe(2)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(join('2', 'model.onnx'))
    await put(join(directory, 'm', '2', 'model.onnx'), timesModel(3))
    await eventually(async () => expect(await answer(models)).toBe(3))
    expect(problems).toHaveLength(1)
  })

  it('refuses two models of one name, and schemes it cannot read', () => {
    const options = { runtime: onnx, pollMs: 20, maxBatch: 8, delayMs: 0 }
    const twice = ['a.onnx', 'b.onnx'].map((source) => ({ name: 'm', source }))
    expect(() => new Repository({ ...options, sources: twice })).toThrow('two models are named "m"')
    const remote = [{ name: 'm', source: 's3://bucket/m.onnx' }]
    expect(() => new Repository({ ...options, sources: remote })).toThrow('s3 sources are not read')
  })
})
