/** What a reader asks of the direction that it reads: which messages there are, and their fates. */

/**
 * What happens to a message: it passes, is held for the chain, is dropped, is held `alone` for the
 * judge to rewrite, or is `large`: too large to hold, and nobody has said yet what to do with it.
 */
export type Fate = 'pass' | 'hold' | 'drop' | 'alone' | 'large'

/** The way of messages to servers that come and go. */
export interface MessagePassage {
  /** False where messages of this type need a server, and there is none yet. */
  ready(tag: number): boolean
  /**
   * What to write in place of the beginning of a message that is too large to be held; null:
   * nothing of it, and nothing of what is to come.
   */
  rewritten(tag: number, begun: Uint8Array, total: number): Uint8Array | null
}

/** The knowledge of one direction: which messages there are and what each of them means. */
export interface Judge {
  /** 1 for each byte that may begin a message. */
  readonly tags: Uint8Array
  /** 1 for each type that passes now without meaning anything: rows and copied data. */
  readonly plain: Uint8Array
  /** Where messages are rewritten for the server that is there at the moment; else null. */
  readonly passage: MessagePassage | null
  /**
   * Called at each header, before anything of the message moves on; again where it must `wait` for
   * a server.
   */
  begin(tag: number, total: number): Fate | 'wait'
  /** The message has been read to its end, `last` its last byte. True: the piece ends here. */
  finish(tag: number, last: number): boolean
  /** The bytes to write in place of a message that was held alone; the same bytes: it goes on. */
  alone(bytes: Uint8Array): Uint8Array
  /** True where a message may stand in one unit behind another. */
  joins(previous: number, tag: number): boolean
  /** A message that was to be held passes after all, unseen. */
  streamed(tag: number): void
}
