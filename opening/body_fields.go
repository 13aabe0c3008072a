package opening

import "kaibiao/crypto/der"

// The fields of each body after label, anchor and nonce, in their order.

func (*WithdrawBody) Kind() Kind { return KindWithdraw }
func (b *WithdrawBody) write(w *der.Writer) {
	w.Octets(b.Bid[:])
}
func (b *WithdrawBody) read(r *der.Reader) {
	r.Fixed(b.Bid[:])
}

func (*RefusedBody) Kind() Kind { return KindRefused }
func (b *RefusedBody) write(w *der.Writer) {
	w.Octets(b.Digest[:])
	w.Text(b.Reason)
}
func (b *RefusedBody) read(r *der.Reader) {
	r.Fixed(b.Digest[:])
	b.Reason = r.Text(MaxBody)
}

func (*ExtendBody) Kind() Kind { return KindExtend }
func (b *ExtendBody) write(w *der.Writer) {
	w.Int(int64(b.Close))
	w.Int(int64(b.Open))
	w.Text(b.Reason)
}
func (b *ExtendBody) read(r *der.Reader) {
	b.Close = Instant(r.Int())
	b.Open = Instant(r.Int())
	b.Reason = r.Text(MaxBody)
}

func (*TrustBody) Kind() Kind { return KindTrust }
func (b *TrustBody) write(w *der.Writer) {
	w.Octets(b.Certificate[:])
	w.Text(b.Reason)
}
func (b *TrustBody) read(r *der.Reader) {
	r.Fixed(b.Certificate[:])
	b.Reason = r.Text(MaxBody)
}

func (*CloseBody) Kind() Kind        { return KindClose }
func (*CloseBody) write(*der.Writer) {}
func (*CloseBody) read(*der.Reader)  {}

func (*AbortBody) Kind() Kind { return KindAbort }
func (b *AbortBody) write(w *der.Writer) {
	w.Text(b.Reason)
}
func (b *AbortBody) read(r *der.Reader) {
	b.Reason = r.Text(MaxBody)
}

func (*OpenBody) Kind() Kind        { return KindOpen }
func (*OpenBody) write(*der.Writer) {}
func (*OpenBody) read(*der.Reader)  {}

func (*CheckinBody) Kind() Kind { return KindCheckin }
func (b *CheckinBody) write(w *der.Writer) {
	w.Octets(b.Bid[:])
	w.Text(b.Person)
}
func (b *CheckinBody) read(r *der.Reader) {
	r.Fixed(b.Bid[:])
	b.Person = r.Text(MaxBody)
}

func (*ConfirmBody) Kind() Kind { return KindConfirm }
func (b *ConfirmBody) write(w *der.Writer) {
	w.Octets(b.Bid[:])
	w.Octets(b.FormHalf[:])
}
func (b *ConfirmBody) read(r *der.Reader) {
	r.Fixed(b.Bid[:])
	r.Fixed(b.FormHalf[:])
}

func (*WindowBody) Kind() Kind { return KindWindow }
func (b *WindowBody) write(w *der.Writer) {
	w.Int(int64(b.End))
	w.Text(b.Reason)
}
func (b *WindowBody) read(r *der.Reader) {
	b.End = Instant(r.Int())
	b.Reason = r.Text(MaxBody)
}

func (*ExcludeBody) Kind() Kind { return KindExclude }
func (b *ExcludeBody) write(w *der.Writer) {
	w.Octets(b.Bid[:])
	w.Text(b.Reason)
}
func (b *ExcludeBody) read(r *der.Reader) {
	r.Fixed(b.Bid[:])
	b.Reason = r.Text(MaxBody)
}

func (*OpenedBody) Kind() Kind { return KindOpened }
func (b *OpenedBody) write(w *der.Writer) {
	w.Octets(b.Bid[:])
	w.Int(int64(b.Verdict))
}
func (b *OpenedBody) read(r *der.Reader) {
	r.Fixed(b.Bid[:])
	b.Verdict = FormVerdict(r.Enum(int(formVerdicts)))
}

func (*DrawBody) Kind() Kind { return KindDraw }
func (b *DrawBody) write(w *der.Writer) {
	w.Text(b.Name)
	textList(w, b.Result)
}
func (b *DrawBody) read(r *der.Reader) {
	b.Name = r.Text(MaxBody)
	b.Result = readTextList(r)
}

func (*ObjectionBody) Kind() Kind { return KindObjection }
func (b *ObjectionBody) write(w *der.Writer) {
	w.Int(int64(b.What))
	w.Text(b.Text)
	hashList(w, b.Attachments)
}
func (b *ObjectionBody) read(r *der.Reader) {
	b.What = ObjectionKind(r.Enum(2))
	b.Text = r.Text(MaxBody)
	b.Attachments = readHashList(r)
}

func (*ReplyBody) Kind() Kind { return KindReply }
func (b *ReplyBody) write(w *der.Writer) {
	w.Octets(b.Objection[:])
	w.Text(b.Text)
}
func (b *ReplyBody) read(r *der.Reader) {
	r.Fixed(b.Objection[:])
	b.Text = r.Text(MaxBody)
}

func (*SignBody) Kind() Kind { return KindSign }
func (b *SignBody) write(w *der.Writer) {
	w.Text(b.Phase)
	w.Octets(b.Digest)
}
func (b *SignBody) read(r *der.Reader) {
	b.Phase = r.Text(MaxBody)
	b.Digest = checkOptionalHash(r, r.Octets(32))
}

func (*NoteBody) Kind() Kind { return KindNote }
func (b *NoteBody) write(w *der.Writer) {
	w.Text(b.Text)
	hashList(w, b.Attachments)
}
func (b *NoteBody) read(r *der.Reader) {
	b.Text = r.Text(MaxBody)
	b.Attachments = readHashList(r)
}

func (*PhaseBody) Kind() Kind { return KindPhase }
func (b *PhaseBody) write(w *der.Writer) {
	w.Text(b.Phase)
	w.Int(int64(b.Act))
	w.Text(b.Reason)
}
func (b *PhaseBody) read(r *der.Reader) {
	b.Phase = r.Text(MaxBody)
	b.Act = PhaseAct(r.Enum(4))
	b.Reason = r.Text(MaxBody)
}

func (*LimitsBody) Kind() Kind { return KindLimits }
func (b *LimitsBody) write(w *der.Writer) {
	w.Octets(b.Salt)
	w.Text(b.Ceiling)
	w.Text(b.Estimate)
}
func (b *LimitsBody) read(r *der.Reader) {
	b.Salt = checkOptionalHash(r, r.Octets(32))
	b.Ceiling = r.Text(MaxBody)
	b.Estimate = r.Text(MaxBody)
}

func (*FindingBody) Kind() Kind { return KindFinding }
func (b *FindingBody) write(w *der.Writer) {
	w.Octets(b.Bid)
	w.Int(int64(b.Outcome))
	w.Text(b.Reason)
}
func (b *FindingBody) read(r *der.Reader) {
	b.Bid = checkOptionalHash(r, r.Octets(32))
	b.Outcome = Outcome(r.Enum(5))
	b.Reason = r.Text(MaxBody)
}

func (*IncidentBody) Kind() Kind { return KindIncident }
func (b *IncidentBody) write(w *der.Writer) {
	w.Int(int64(b.From))
	w.Int(int64(b.To))
	w.Text(b.Text)
}
func (b *IncidentBody) read(r *der.Reader) {
	b.From = Instant(r.Int())
	b.To = Instant(r.Int())
	b.Text = r.Text(MaxBody)
}

func (*ParamsBody) Kind() Kind        { return KindParams }
func (*ParamsBody) write(*der.Writer) {}
func (*ParamsBody) read(*der.Reader)  {}

func (*BidBody) Kind() Kind        { return KindBid }
func (*BidBody) write(*der.Writer) {}
func (*BidBody) read(*der.Reader)  {}

func (*FreezeBody) Kind() Kind { return KindFreeze }
func (b *FreezeBody) write(w *der.Writer) {
	list(w, b.Bids, func(w *der.Writer, f FrozenBid) {
		w.Octets(f.Bid[:])
		w.Int(int64(f.Status))
	})
}
func (b *FreezeBody) read(r *der.Reader) {
	b.Bids = readList(r, func(r *der.Reader) (f FrozenBid) {
		r.Fixed(f.Bid[:])
		f.Status = FreezeStatus(r.Enum(4))
		return f
	})
}

func (*ReleaseBody) Kind() Kind { return KindRelease }
func (b *ReleaseBody) write(w *der.Writer) {
	w.Int(int64(b.Custodian))
	w.Octets(b.Scalar[:])
	w.Int(b.Size)
	w.Octets(b.Root[:])
}
func (b *ReleaseBody) read(r *der.Reader) {
	b.Custodian = r.Enum(256)
	r.Fixed(b.Scalar[:])
	b.Size = r.Int()
	r.Fixed(b.Root[:])
}

func (*RecordBody) Kind() Kind { return KindRecord }
func (b *RecordBody) write(w *der.Writer) {
	list(w, b.Files, func(w *der.Writer, f RecordFile) {
		w.Text(f.Name)
		w.Octets(f.Digest[:])
	})
}
func (b *RecordBody) read(r *der.Reader) {
	b.Files = readList(r, func(r *der.Reader) (f RecordFile) {
		f.Name = r.Text(255)
		r.Fixed(f.Digest[:])
		return f
	})
}

func (*FilesBody) Kind() Kind { return KindFiles }
func (b *FilesBody) write(w *der.Writer) {
	w.Octets(b.Bid[:])
	w.Sequence(func(w *der.Writer) {
		for _, v := range b.Verdicts {
			w.Int(int64(v))
		}
	})
}
func (b *FilesBody) read(r *der.Reader) {
	r.Fixed(b.Bid[:])
	for s := r.Sequence(); s.More(); {
		b.Verdicts = append(b.Verdicts, FileVerdict(s.Enum(int(fileVerdicts))))
	}
}
