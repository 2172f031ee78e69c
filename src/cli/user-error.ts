/** A mistake the user can mend: shown as one line without a stack, exit code 1. */
export class UserError extends Error {}
