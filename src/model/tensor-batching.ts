/**
 * How calls of tensors share a run: along the first dimension, when the model leaves that open on every input and output and
 * their other dimensions are equal.
 */
import type { Batching } from './batcher.ts'
import {
  type LoadedModel,
  makeData,
  sizeOf,
  type Tensor,
  type TensorData,
  type TensorSpec,
  type Tensors,
} from './runtime.ts'

export function tensorBatching(model: LoadedModel): Batching<Tensors, Tensors> {
  return {
    joins: [...model.inputs, ...model.outputs].every(isOpen),
    rowsOf,
    alike,
    async run(batch) {
      const [first, ...others] = batch
      if (!first || others.length === 0) return first ? [await model.run(first)] : []
      return cut(await model.run(joined(batch)), batch)
    },
    release: () => model.release(),
  }
}

const isOpen = (spec: TensorSpec): boolean => spec.shape[0] === -1

const rowsOf = (inputs: Tensors): number => {
  const [first] = inputs.values()
  return first?.shape[0] ?? 1
}

const totalRows = (batch: readonly Tensors[]): number =>
  batch.reduce((sum, inputs) => sum + rowsOf(inputs), 0)

/** True when every input of both has the same dimensions after the first, and each has one row count only. */
function alike(one: Tensors, other: Tensors): boolean {
  const rows = [rowsOf(one), rowsOf(other)]
  return [...one].every(([name, a]) => {
    const b = other.get(name)
    if (!b || a.shape[0] !== rows[0] || b.shape[0] !== rows[1]) return false
    return a.shape.length === b.shape.length && a.shape.every((n, i) => i === 0 || n === b.shape[i])
  })
}

function joined(batch: readonly Tensors[]): Tensors {
  const rows = totalRows(batch)
  const inputs = new Map<string, Tensor>()
  for (const [name, { datatype, shape }] of batch[0] ?? []) {
    const parts = batch.flatMap((inputs) => inputs.get(name) ?? [])
    const whole = [rows, ...shape.slice(1)]
    inputs.set(name, { datatype, shape: whole, data: concatenate(parts, sizeOf(whole)) })
  }
  return inputs
}

function concatenate(parts: readonly Tensor[], length: number): TensorData {
  if (Array.isArray(parts[0]?.data)) return parts.flatMap((part) => part.data as string[])
  const data = makeData(parts[0]?.datatype ?? 'FP32', length) as Uint8Array
  let at = 0
  for (const part of parts) {
    data.set(part.data as Uint8Array, at)
    at += part.data.length
  }
  return data
}

/** Each call's rows of every output; undefined when an output does not have the rows that went in. */
function cut(outputs: Tensors, batch: readonly Tensors[]): Tensors[] | undefined {
  const rows = totalRows(batch)
  if (![...outputs.values()].every(({ shape }) => shape[0] === rows)) return undefined
  let from = 0
  return batch.map((inputs) => {
    const count = rowsOf(inputs)
    const part = new Map<string, Tensor>()
    for (const [name, { datatype, shape, data }] of outputs) {
      const width = sizeOf(shape.slice(1))
      const own = data.slice(from * width, (from + count) * width)
      part.set(name, { datatype, shape: [count, ...shape.slice(1)], data: own })
    }
    from += count
    return part
  })
}
