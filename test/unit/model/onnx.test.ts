import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { onnx } from '../../../src/model/onnx.ts'
import type { Tensors } from '../../../src/model/runtime.ts'
import { echoModel } from '../../support/onnx-graph.ts'

const fromModels = (name: string) => readFile(new URL(`../../../models/${name}`, import.meta.url))

const images = async (): Promise<number[][]> => {
  const { instances } = JSON.parse((await fromModels('samples/batch.v1.json')).toString()) as {
    instances: number[][]
  }
  return instances
}

const asInput = (rows: number[][]): Tensors =>
  new Map([['image', { datatype: 'FP32', shape: [rows.length, 64], data: Float32Array.from(rows.flat()) }]])

/** The probabilities of eight images asked together, and asked one by one. */
async function together(file: string): Promise<[number[], number[]]> {
  const model = await onnx.load(await fromModels(file))
  const rows = await images()
  const read = async (some: number[][]) =>
    [...((await model.run(asInput(some))).get('probabilities')?.data ?? [])] as number[]
  const answers: [number[], number[]] = [
    await read(rows),
    (await Promise.all(rows.map((row) => read([row])))).flat(),
  ]
  await model.release()
  return answers
}

describe('the ONNX runtime', () => {
  it('describes the digits model in the words of the Open Inference Protocol', async () => {
    const model = await onnx.load(await fromModels('digits.onnx'))
    expect(model.inputs).toEqual([{ name: 'image', datatype: 'FP32', shape: [-1, 64] }])
    expect(model.outputs).toEqual([
      { name: 'probabilities', datatype: 'FP32', shape: [-1, 10] },
      { name: 'digit', datatype: 'INT64', shape: [-1] },
    ])
    await model.release()
  })

  it('reads an image with the digits model alike, alone and in company', async () => {
    const [batch, alone] = await together('digits.onnx')
    expect(batch).toEqual(alone)
  })

  it('reads an image with the quantised model otherwise in company: the case a gateway must not split', async () => {
    const [batch, alone] = await together('digits-int8.onnx')
    const apart = batch.map((p, i) => Math.abs(p - (alone[i] ?? 0)))
    expect(Math.max(...apart)).toBeGreaterThan(1e-4)
  })

  it('gives back an output without elements', async () => {
    const model = await onnx.load(echoModel('INT64'))
    const none: Tensors = new Map([['x', { datatype: 'INT64', shape: [0], data: new BigInt64Array(0) }]])
    expect((await model.run(none)).get('y')).toEqual({
      datatype: 'INT64',
      shape: [0],
      data: new BigInt64Array(0),
    })
    await model.release()
  })

  it('says in one line why it cannot load', async () => {
    const error = await onnx.load(Buffer.from('x')).catch((cause: unknown) => cause)
    expect(String(error)).toContain('not a model ONNX Runtime can load')
    expect(String(error)).not.toContain('\n')
  })
})
