import { afterEach, describe, expect, it } from 'vitest'
import { InferenceBatcher } from '../../../src/model/batcher.ts'
import { onnx } from '../../../src/model/onnx.ts'
import type { LoadedModel, Tensors } from '../../../src/model/runtime.ts'
import { tensorBatching } from '../../../src/model/tensor-batching.ts'
import { echoModel, onnxGraph, pairModel } from '../../support/onnx-graph.ts'

type TensorBatcher = InferenceBatcher<Tensors, Tensors>

let batcher: TensorBatcher | undefined
afterEach(() => batcher?.retire())

/** A real model whose runs are written down: the rows of each. */
async function watched(bytes: Uint8Array, maxBatch = 8, delayMs = 0): Promise<[TensorBatcher, number[]]> {
  const model = await onnx.load(bytes)
  const runs: number[] = []
  const spy: LoadedModel = {
    ...model,
    run(inputs) {
      runs.push([...inputs.values()][0]?.shape[0] ?? 0)
      return model.run(inputs)
    },
  }
  batcher = new InferenceBatcher(tensorBatching(spy), { maxBatch, delayMs })
  return [batcher, runs]
}

const floats = (...values: number[]): Tensors =>
  new Map([['x', { datatype: 'FP32', shape: [values.length], data: Float32Array.from(values) }]])

const valuesOf = (outputs: Tensors, name = 'y') => [...(outputs.get(name)?.data ?? [])]

describe('the batcher', () => {
  it('joins the calls of one moment into one run, and gives each its own rows', async () => {
    const [runner, runs] = await watched(echoModel('FP32'))
    const answers = await Promise.all([floats(1), floats(2, 3), floats(4)].map((each) => runner.run(each)))

    expect(runs).toEqual([4])
    expect(answers.map((each) => valuesOf(each))).toEqual([[1], [2, 3], [4]])
    expect(answers.map((each) => each.get('y')?.shape)).toEqual([[1], [2], [1]])
  })

  it('joins those who come during a run into the next', async () => {
    const [runner, runs] = await watched(echoModel('FP32'), 8, 50)
    const first = runner.run(floats(1))
    await new Promise(setImmediate)
    const later = [floats(2), floats(3)].map((each) => runner.run(each))

    expect(valuesOf(await first)).toEqual([1])
    expect((await Promise.all(later)).map((each) => valuesOf(each))).toEqual([[2], [3]])
    expect(runs).toEqual([1, 2])
  })

  it('leaves out a call that is given up while it waits, and lets one that runs go on', async () => {
    const [runner, runs] = await watched(echoModel('FP32'), 8, 50)
    const [running, waiting] = [new AbortController(), new AbortController()]
    const first = runner.run(floats(1), running.signal)
    await new Promise(setImmediate)
    const later = [runner.run(floats(2), waiting.signal), runner.run(floats(3))]
    running.abort(new Error('gone'))
    waiting.abort(new Error('gone'))

    await expect(later[0]).rejects.toThrow('gone')
    expect(valuesOf(await first)).toEqual([1])
    expect(valuesOf((await later[1]) as Tensors)).toEqual([3])
    expect(runs).toEqual([1, 1])
  })

  it('never joins beyond the limit, and runs alone a call that exceeds it by itself', async () => {
    const [runner, runs] = await watched(echoModel('FP32'), 3)
    const calls = [floats(1, 2), floats(3, 4), floats(5), floats(1, 2, 3, 4, 5)]
    const answers = await Promise.all(calls.map((each) => runner.run(each)))

    expect(runs).toEqual([2, 3, 5])
    expect(answers.map((each) => valuesOf(each))).toEqual([[1, 2], [3, 4], [5], [1, 2, 3, 4, 5]])
  })

  it('does not join a model whose first dimension is fixed, nor rows of different width', async () => {
    const [fixed, fixedRuns] = await watched(echoModel('FP32', [1]))
    expect(fixed.maxBatch).toBe(1)
    await Promise.all([fixed.run(floats(1)), fixed.run(floats(2))])
    expect(fixedRuns).toEqual([1, 1])
    fixed.retire()

    const [wide, wideRuns] = await watched(echoModel('FP32', ['N', 'W']))
    const row = (width: number): Tensors =>
      new Map([['x', { datatype: 'FP32', shape: [1, width], data: new Float32Array(width) }]])
    const answers = await Promise.all([wide.run(row(2)), wide.run(row(3))])
    expect(answers.map((each) => each.get('y')?.shape)).toEqual([
      [1, 2],
      [1, 3],
    ])
    expect(wideRuns).toEqual([1, 1])
  })

  it('does not let one call fail those joined to it', async () => {
    // b has two rows where a has three: ONNX Runtime refuses to add them.
    const [runner] = await watched(pairModel())
    const pair = (a: number[], b: number[]): Tensors =>
      new Map([
        ['a', { datatype: 'FP32', shape: [a.length], data: Float32Array.from(a) }],
        ['b', { datatype: 'FP32', shape: [b.length], data: Float32Array.from(b) }],
      ])
    const [good, bad, also] = await Promise.allSettled([
      runner.run(pair([1], [2])),
      runner.run(pair([1, 2, 3], [1, 2])),
      runner.run(pair([3], [4])),
    ])
    expect(good?.status === 'fulfilled' && valuesOf(good.value, 'sum')).toEqual([3])
    expect(bad?.status).toBe('rejected')
    expect(also?.status === 'fulfilled' && valuesOf(also.value, 'sum')).toEqual([7])
  })

  it('runs each alone when the outputs do not have the rows that went in', async () => {
    // Declared open in its first dimension, and yet one row whatever goes in.
    const sum = onnxGraph({
      inputs: [{ name: 'x', type: 'FP32', shape: ['N'] }],
      outputs: [{ name: 'y', type: 'FP32', shape: ['M'] }],
      nodes: [{ op: 'ReduceSum', inputs: ['x'], outputs: ['y'] }],
    })
    const [runner] = await watched(sum)
    const answers = await Promise.all([floats(1, 2), floats(3)].map((each) => runner.run(each)))
    expect(answers.map((each) => valuesOf(each))).toEqual([[3], [3]])
  })

  it('refuses at once what would wait too long', async () => {
    const [runner] = await watched(echoModel('FP32'), 1, 1)
    const calls = Array.from({ length: 1024 }, () => runner.run(floats(1)))
    expect(() => runner.run(floats(1))).toThrow('1024 calls wait')
    await Promise.all(calls)
  })

  it('answers what waits when it is retired, and takes nothing more', async () => {
    const [runner] = await watched(echoModel('FP32'), 8, 30)
    const waiting = runner.run(floats(7))
    runner.retire()
    expect(() => runner.run(floats(8))).toThrow('just been replaced')
    expect(valuesOf(await waiting)).toEqual([7])
  })
})
