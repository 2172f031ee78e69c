/**
 * The order of the files. By itself vitest runs one project behind the other, so that what computes all the time comes together,
 * and so does what mostly waits. The longest of the first kind are spread over the second.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** They compute for as long as INFERGATE_FUZZ_SECONDS says. */
const FUZZ = [
  'backend-bytes',
  'door',
  'generation-keys',
  'heads',
  'hpack',
  'http2-backend-frames',
  'http2-door',
  'volatile-heads',
].map((name) => `property/${name}.test.ts`)

export class SpreadFuzz extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const fuzz = sorted.filter(({ moduleId }) => FUZZ.some((name) => moduleId.endsWith(`/test/${name}`)))
    const others = sorted.filter((file) => !fuzz.includes(file))
    const waiting = others.filter(
      ({ project }) => project.config.isolate && project.config.sequence.groupOrder === 0,
    )
    const every = Math.max(1, Math.floor(waiting.length / fuzz.length))
    const spread = fuzz.flatMap((file, i) => [
      file,
      ...waiting.slice(i * every, i === fuzz.length - 1 ? undefined : (i + 1) * every),
    ])
    return fuzz.length === 0 ? sorted : [...spread, ...others.filter((file) => !waiting.includes(file))]
  }
}
