/**
 * Writes small ONNX files for tests, so that every datatype, shape and slowness is a real model and not a mock.
 * Field numbers are those of onnx.proto (ONNX 1.x, IR version 9).
 */

type Field = readonly [number: number, value: number | string | Uint8Array]

const varint = (value: number): number[] => {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return [...bytes, rest]
}

function message(...fields: readonly Field[]): Buffer {
  const parts = fields.map(([number, value]) => {
    if (typeof value === 'number') return Buffer.from([...varint(number * 8), ...varint(value)])
    const bytes = Buffer.from(value as string)
    return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes])
  })
  return Buffer.concat(parts)
}

/** TensorProto.DataType. */
export const ELEMENT = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
} as const

/** A dimension that is text is open. */
export interface Value {
  readonly name: string
  readonly type: keyof typeof ELEMENT
  readonly shape: readonly (number | string)[]
}

export interface Node {
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

export interface Constant {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: Float32Array
}

export interface Graph {
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly nodes: readonly Node[]
  readonly constants?: readonly Constant[]
}

const valueInfo = ({ name, type, shape }: Value): Buffer => {
  const dims = shape.map((n): Field => [1, typeof n === 'number' ? message([1, n]) : message([2, n])])
  const tensor = message([1, ELEMENT[type]], [2, message(...dims)])
  return message([1, name], [2, message([1, tensor])])
}

const node = ({ op, inputs, outputs }: Node): Buffer =>
  message(...inputs.map((name): Field => [1, name]), ...outputs.map((name): Field => [2, name]), [4, op])

const constant = ({ name, shape, values }: Constant): Buffer =>
  message(
    ...shape.map((n): Field => [1, n]),
    [2, ELEMENT.FP32],
    [8, name],
    [9, new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
  )

/** The bytes of a .onnx file. */
export function onnxGraph({ inputs, outputs, nodes, constants = [] }: Graph): Buffer {
  const graph = message(
    ...nodes.map((each): Field => [1, node(each)]),
    [2, 'test'],
    ...constants.map((each): Field => [5, constant(each)]),
    ...inputs.map((each): Field => [11, valueInfo(each)]),
    ...outputs.map((each): Field => [12, valueInfo(each)]),
  )
  return message([1, 9], [7, graph], [8, message([1, ''], [2, 17])])
}

/** Gives back what it is given: `x` in, `y` out. */
export const echoModel = (type: Value['type'], shape: Value['shape'] = ['N']): Buffer =>
  onnxGraph({
    inputs: [{ name: 'x', type, shape }],
    outputs: [{ name: 'y', type, shape }],
    nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
  })

/** `y` = `x` times `factor`, FP32 [N]: models of equal face and different answers. */
export const timesModel = (factor: number): Buffer =>
  onnxGraph({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N'] }],
    outputs: [{ name: 'y', type: 'FP32', shape: ['N'] }],
    nodes: [{ op: 'Mul', inputs: ['x', 'factor'], outputs: ['y'] }],
    constants: [{ name: 'factor', shape: [], values: Float32Array.of(factor) }],
  })

/** `sum` = `a` + `b` and `quotient` = `a` / `b`, FP32 [N]. */
export const pairModel = (): Buffer => {
  const face = (name: string): Value => ({ name, type: 'FP32', shape: ['N'] })
  return onnxGraph({
    inputs: [face('a'), face('b')],
    outputs: [face('sum'), face('quotient')],
    nodes: [
      { op: 'Add', inputs: ['a', 'b'], outputs: ['sum'] },
      { op: 'Div', inputs: ['a', 'b'], outputs: ['quotient'] },
    ],
  })
}

/** FP32 [N, 1] to [N, 1] through `layers` products of 1024 x 1024: keeps a core busy, 2 Mflop a row and layer. */
export function heavyModel(layers: number): Buffer {
  const width = 1024
  const nodes: Node[] = [{ op: 'MatMul', inputs: ['x', 'row'], outputs: ['h0'] }]
  for (let i = 0; i < layers; i += 1) {
    nodes.push({ op: 'MatMul', inputs: [`h${i}`, 'square'], outputs: [`h${i + 1}`] })
  }
  nodes.push({ op: 'MatMul', inputs: [`h${layers}`, 'column'], outputs: ['y'] })
  return onnxGraph({
    inputs: [{ name: 'x', type: 'FP32', shape: ['N', 1] }],
    outputs: [{ name: 'y', type: 'FP32', shape: ['N', 1] }],
    nodes,
    constants: [
      { name: 'row', shape: [1, width], values: new Float32Array(width).fill(1) },
      { name: 'square', shape: [width, width], values: new Float32Array(width * width).fill(1 / width) },
      { name: 'column', shape: [width, 1], values: new Float32Array(width).fill(1 / width) },
    ],
  })
}
