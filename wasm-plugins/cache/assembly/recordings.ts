/** A reply that is taken down while it comes, to be kept if nothing speaks against it. */
import { Bytes } from '../../sdk/assembly/bytes'
import { CommandComplete } from '../../sdk/assembly/postgres/backend'
import { Backend } from '../../sdk/assembly/postgres/messages'

/** Replies that are taken down at the same time; further ones are not kept. */
const RECORDINGS_MAX: i32 = 64

/** What may come next. */
const enum Step {
  ParseComplete,
  BindComplete,
  RowDescription,
  Rows,
  Ready,
  /** It is not to be kept. */
  Spoilt,
}

const complete = new CommandComplete()

@final
export class Recording {
  next: Recording | null = null
  /** The key of its statement. */
  low: u64 = 0
  high: u64 = 0
  /** When it was sent: on the clock of databases, and in Unix milliseconds. */
  at: u64 = 0
  sentAtMs: f64 = 0
  tables: u64 = 0
  readonly bytes: Bytes = new Bytes()
  private step: Step = Step.Spoilt
  private isDescribed: bool = false
  private rows: i64 = 0

  /** Begins: with a ParseComplete or not, and with a RowDescription or not. */
  begin(isExtended: bool, isParsed: bool, isDescribed: bool): void {
    this.bytes.clear()
    this.rows = 0
    this.isDescribed = isDescribed
    this.step = isParsed ? Step.ParseComplete : isExtended ? Step.BindComplete : Step.RowDescription
  }

  get isWhole(): bool {
    return this.step == Step.Ready && !this.bytes.isCut
  }

  get isSpoilt(): bool {
    return this.step == Step.Spoilt
  }

  spoil(): void {
    this.step = Step.Spoilt
  }

  /** Takes a message down, if it is the one that belongs here. */
  take(type: u8, ptr: usize, length: i32, bytesMax: i32): void {
    if (this.step == Step.Spoilt) return
    this.step = this.stepBehind(type, ptr, length)
    if (this.bytes.length + length > bytesMax) this.step = Step.Spoilt
    if (this.step != Step.Spoilt) this.bytes.raw(ptr, length)
  }

  private stepBehind(type: u8, ptr: usize, length: i32): Step {
    switch (this.step) {
      case Step.ParseComplete:
        return type == Backend.PARSE_COMPLETE ? Step.BindComplete : Step.Spoilt
      case Step.BindComplete:
        if (type != Backend.BIND_COMPLETE) return Step.Spoilt
        return this.isDescribed ? Step.RowDescription : Step.Rows
      case Step.RowDescription:
        return type == Backend.ROW_DESCRIPTION ? Step.Rows : Step.Spoilt
      case Step.Rows:
        if (type == Backend.DATA_ROW) {
          this.rows++
          return Step.Rows
        }
        // A row that was too large to be shown here is missing in the count.
        if (type != Backend.COMMAND_COMPLETE || !complete.read(ptr, length)) return Step.Spoilt
        return complete.rows == this.rows ? Step.Ready : Step.Spoilt
      default:
        return Step.Spoilt
    }
  }

  release(): void {
    this.next = spare
    spare = this
  }
}

let spare: Recording | null = null
let made = 0

/** A recording of one's own; null: there are too many already. */
export function takeRecording(): Recording | null {
  const free = spare
  if (free != null) {
    spare = free.next
    return free
  }
  if (made == RECORDINGS_MAX) return null
  made++
  return new Recording()
}
