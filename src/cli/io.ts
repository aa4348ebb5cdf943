/** What a command may touch of the world around it; tests hand in their own. */

export interface Io {
  /** Writes a text and a line end to standard output. */
  readonly out: (text: string) => void
  /** Writes a text and a line end to standard error. */
  readonly err: (text: string) => void
  readonly env: Readonly<Record<string, string | undefined>>
  /** True where the output may be coloured. */
  readonly colour: boolean
}

/** What a command that runs until it is told to stop needs besides. */
export interface ProcessIo extends Io {
  /** Calls `told` with the name of each of these signals that comes. */
  readonly onSignal: (
    names: readonly NodeJS.Signals[],
    told: (name: NodeJS.Signals) => void,
  ) => void
}
