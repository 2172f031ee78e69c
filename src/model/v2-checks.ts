/** What is checked of an Open Inference call whichever way it is written, so that JSON and gRPC are refused with the same words. */
import { ModelError } from './error.ts'
import type { JsonValue } from './json.ts'
import type { Tensor, TensorSpec, Tensors } from './runtime.ts'
import { describe } from './tensors.ts'

/** The inputs that a call has given so far; throws a 400 that names the one that does not fit the model. */
export class GivenInputs {
  readonly #specs: readonly TensorSpec[]
  readonly #tensors = new Map<string, Tensor>()

  constructor(specs: readonly TensorSpec[]) {
    this.#specs = specs
  }

  /** The model's input of this name, which must not have been given before. */
  spec(name: JsonValue | undefined): TensorSpec {
    const spec = this.#specs.find((one) => one.name === name)
    if (!spec) throw new ModelError(400, `input: ${describe(name)} is not one of ${namesOf(this.#specs)}`)
    if (this.#tensors.has(spec.name)) throw new ModelError(400, `input "${spec.name}" is given twice`)
    return spec
  }

  put({ name }: TensorSpec, tensor: Tensor): void {
    this.#tensors.set(name, tensor)
  }

  all(): Tensors {
    const missing = this.#specs.find(({ name }) => !this.#tensors.has(name))
    if (missing) throw new ModelError(400, `input "${missing.name}" is missing`)
    return this.#tensors
  }
}

const namesOf = (specs: readonly TensorSpec[]): string => specs.map(({ name }) => name).join(', ')

export function checkDatatype(spec: TensorSpec, datatype: JsonValue | undefined): void {
  if (datatype !== spec.datatype)
    throw new ModelError(400, `input "${spec.name}" is ${spec.datatype}, not ${describe(datatype)}`)
}

export function checkSizes(spec: TensorSpec, shape: readonly JsonValue[]): void {
  if (!shape.every((n) => typeof n === 'number' && Number.isInteger(n) && n >= 0)) throw notSizes(spec)
}

export function notSizes({ name }: TensorSpec): ModelError {
  return new ModelError(400, `input "${name}": "shape" must be a list of whole numbers`)
}

export function outputNamed(name: JsonValue | undefined, specs: readonly TensorSpec[]): string {
  const spec = specs.find((one) => one.name === name)
  if (!spec) throw new ModelError(400, `output: ${describe(name)} is not one of ${namesOf(specs)}`)
  return spec.name
}

/** `valueOf`: the value of a parameter of the call, where it has one. */
export function refuseSequence(valueOf: (name: string) => unknown): void {
  for (const name of ['sequence_id', 'sequence_start', 'sequence_end']) {
    if (valueOf(name)) throw new ModelError(400, `"${name}" is not supported: this server keeps no state`)
  }
}

interface Names {
  has(name: string): boolean
}

export function refuseSharedMemory(input: string, parameters: Names): void {
  if (parameters.has('shared_memory_region'))
    throw new ModelError(400, `input "${input}": shared memory is not supported, send the data`)
}

export function refuseOutputParameters(output: string, parameters: Names): void {
  for (const refused of ['classification', 'shared_memory_region']) {
    if (parameters.has(refused))
      throw new ModelError(400, `output "${output}": "${refused}" is not supported`)
  }
}
