/** Why a call, or its answer, has no other form; caught where calls are translated. */
import type { StatusName } from '../../grpc/status.ts'

export class Untranslatable extends Error {
  readonly status: StatusName

  /** `message` is for the caller. */
  constructor(status: StatusName, message: string) {
    super(message)
    this.name = 'Untranslatable'
    this.status = status
  }
}
