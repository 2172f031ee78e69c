/** How far a warming from files has come, in a file of its own, so that it can go on there. */
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { UserError } from '../user-error.ts'

/** What the position belongs to: the same files with the same lengths, in the same pool. */
export interface PositionOf {
  readonly route: string
  readonly pool: string | undefined
  readonly files: readonly string[]
}

export class WarmPosition {
  readonly #file: string
  readonly #name: string

  private constructor(file: string, name: string) {
    this.#file = file
    this.#name = name
  }

  static async of(file: string, { route, pool, files }: PositionOf): Promise<WarmPosition> {
    const sizes = await Promise.all(files.map(async (path) => `${path} ${(await stat(path)).size}`))
    return new WarmPosition(file, [route, pool ?? '', ...sizes].join('\n'))
  }

  /** 0: there is none, or it is of other files or another pool. */
  async read(): Promise<number> {
    try {
      const { name, position } = JSON.parse(await readFile(this.#file, 'utf8')) as Record<string, unknown>
      return name === this.#name && Number.isSafeInteger(position) ? Math.max(0, position as number) : 0
    } catch (error) {
      if (error instanceof SyntaxError)
        throw new UserError(`${this.#file} is no file of this command: name another`)
      return 0
    }
  }

  async write(position: number): Promise<void> {
    const text = `${JSON.stringify({ name: this.#name, position })}\n`
    await writeFile(`${this.#file}.new`, text)
    await rename(`${this.#file}.new`, this.#file)
  }
}
