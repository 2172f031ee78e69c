/**
 * The interface between the model server and the engine that runs models, so that another engine needs only one more
 * file. Datatypes have the names of the Open Inference Protocol everywhere here.
 */

/** Open Inference Protocol datatypes this server takes. FP16 and BF16 have no JSON form and are refused at load. */
export const DATATYPES = [
  'BOOL',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'FP32',
  'FP64',
  'BYTES',
] as const

export type Datatype = (typeof DATATYPES)[number]

/** BOOL is one byte an element; BYTES are strings. */
export type TensorData =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array
  | string[]

export interface Tensor {
  readonly datatype: Datatype
  readonly shape: readonly number[]
  /** Row-major; as long as the product of `shape`. */
  readonly data: TensorData
}

export type Tensors = ReadonlyMap<string, Tensor>

export interface TensorSpec {
  readonly name: string
  readonly datatype: Datatype
  /** -1 where any length is taken. */
  readonly shape: readonly number[]
}

export interface LoadedModel {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** All outputs by name. Throws what the engine throws; never called again after `release`. */
  run(inputs: Tensors): Promise<Tensors>
  release(): Promise<void>
}

export interface Runtime {
  readonly name: string
  /** The extension of the files it loads, with the dot. */
  readonly extension: string
  /**
   * Loads a model from bytes instead of a path, so that what was digested is what runs. A model whose weights are in
   * separate files is therefore refused. Throws an error whose message says what is wrong with the model.
   */
  load(bytes: Uint8Array): Promise<LoadedModel>
}

const MAKERS = {
  BOOL: (length: number) => new Uint8Array(length),
  INT8: (length: number) => new Int8Array(length),
  INT16: (length: number) => new Int16Array(length),
  INT32: (length: number) => new Int32Array(length),
  INT64: (length: number) => new BigInt64Array(length),
  UINT8: (length: number) => new Uint8Array(length),
  UINT16: (length: number) => new Uint16Array(length),
  UINT32: (length: number) => new Uint32Array(length),
  UINT64: (length: number) => new BigUint64Array(length),
  FP32: (length: number) => new Float32Array(length),
  FP64: (length: number) => new Float64Array(length),
  BYTES: (length: number): string[] => Array.from({ length }, () => ''),
} as const satisfies Record<Datatype, (length: number) => TensorData>

/** Zeros (empty strings) of a datatype. */
export const makeData = (datatype: Datatype, length: number): TensorData => MAKERS[datatype](length)

/** How many elements a shape holds; 1 for a scalar. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1)

/** True where a tensor of this shape may be given for a spec of that one. */
export const fits = (shape: readonly number[], wanted: readonly number[]): boolean =>
  shape.length === wanted.length && wanted.every((n, i) => n === -1 || n === shape[i])
