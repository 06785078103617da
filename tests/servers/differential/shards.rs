//! The calls that manage streams and list shards.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::operation::list_shards::ListShardsOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{
    HashKeyRange, ScalingType, SequenceNumberRange, Shard, ShardFilter, StreamDescription,
    StreamDescriptionSummary, StreamModeDetails,
};

use super::call::{Call, Filter, List, Named};
use super::response::{Response, output};
use super::side::{PAUSE, Side, date, when};
use crate::stream::is_closed;

/// More pages than any listing of a script has, to end a listing that repeats itself.
const MAX_PAGES: usize = 60;
/// More shards than any stream of a script has.
const MAX_SHARDS: i32 = 1_000;
/// More streams than a server has at a time.
const MAX_STREAMS: i32 = 1_000;

impl Side {
    /// Carries out a call, again if the server throttles it. An error is a response too.
    pub(crate) async fn carry_out(&mut self, call: &Call, marks: &[DateTime]) -> Response {
        loop {
            let response = self.carry_out_once(call, marks).await;
            if !response.is_throttled {
                return response;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Carries out a call once. A call can be repeated, because one that changes something is a
    /// single request.
    async fn carry_out_once(&mut self, call: &Call, marks: &[DateTime]) -> Response {
        let response = match call {
            Call::ChangeRetention { stream, hours, longer } => {
                self.change_retention(*stream, *hours, *longer).await
            }
            Call::CreateStream { name, shards } => self.create_stream(name, *shards).await,
            Call::DeleteStream => {
                let delete = self.client.delete_stream().stream_name(&self.stream);
                output(delete.send().await).map(|_| Response::default())
            }
            Call::DescribeStream { stream, limit, after } => {
                self.describe(*stream, *limit, after.clone()).await
            }
            Call::DescribeStreamSummary { stream } => self.summary(*stream).await,
            Call::GetRecords { from, limit } => self.get_records(*from, *limit).await,
            Call::GetShardIterator { stream, shard, start } => {
                self.get_shard_iterator(*stream, shard.clone(), start, marks).await
            }
            Call::ListShards(list) => self.list_shards(list, marks).await,
            Call::ListStreams => self.list_streams().await,
            Call::ListToTheEnd { page, filter } => {
                self.list_to_the_end(*page, filter.as_ref(), marks).await
            }
            Call::MergeShards { stream, shard, adjacent } => {
                let merge = self
                    .client
                    .merge_shards()
                    .shard_to_merge(shard)
                    .adjacent_shard_to_merge(adjacent);
                let merge =
                    merge.set_stream_name(self.name(*stream)).set_stream_arn(self.arn(*stream));
                output(merge.send().await).map(|_| Response::default())
            }
            Call::OpenRanges => self.open_ranges().await,
            Call::PutRecord { stream, record } => self.put_record(*stream, record).await,
            Call::PutRecords { records } => self.put_records(records).await,
            Call::ReadToTheEnd { shard, limit } => self.read_to_the_end(shard, *limit).await,
            Call::SplitShard { stream, shard, key } => {
                let split =
                    self.client.split_shard().shard_to_split(shard).new_starting_hash_key(key);
                let split =
                    split.set_stream_name(self.name(*stream)).set_stream_arn(self.arn(*stream));
                output(split.send().await).map(|_| Response::default())
            }
            Call::UpdateShardCount { stream, target } => {
                self.update_shard_count(*stream, *target).await
            }
        };
        response.unwrap_or_else(|error| error)
    }

    async fn create_stream(&mut self, name: &str, shards: i32) -> Result<Response, Response> {
        let began = SystemTime::now();
        let created =
            self.client.create_stream().stream_name(name).shard_count(shards).send().await;
        output(created)?;
        name.clone_into(&mut self.stream);
        self.creation = (began, SystemTime::now());
        Ok(Response::default())
    }

    async fn change_retention(
        &self,
        stream: Named,
        hours: i32,
        longer: bool,
    ) -> Result<Response, Response> {
        let (name, arn) = (self.name(stream), self.arn(stream));
        if longer {
            let change =
                self.client.increase_stream_retention_period().retention_period_hours(hours);
            output(change.set_stream_name(name).set_stream_arn(arn).send().await)?;
        } else {
            let change =
                self.client.decrease_stream_retention_period().retention_period_hours(hours);
            output(change.set_stream_name(name).set_stream_arn(arn).send().await)?;
        }
        Ok(Response::default())
    }

    /// Lists all streams in one page and reports whether this one is among them.
    async fn list_streams(&self) -> Result<Response, Response> {
        let listed = output(self.client.list_streams().limit(MAX_STREAMS).send().await)?;
        let mut response = Response::default();
        response.set("StreamNames", listed.stream_names().contains(&self.stream));
        Ok(response)
    }

    async fn update_shard_count(&self, stream: Named, target: i32) -> Result<Response, Response> {
        let update = self.client.update_shard_count().target_shard_count(target);
        let update = update.set_stream_name(self.name(stream)).set_stream_arn(self.arn(stream));
        let updated = output(update.scaling_type(ScalingType::UniformScaling).send().await)?;
        let mut response = Response::default();
        response.set_if("StreamName", updated.stream_name());
        response.set_if("StreamARN", updated.stream_arn().map(without_account));
        response.set_if("CurrentShardCount", updated.current_shard_count());
        response.set_if("TargetShardCount", updated.target_shard_count());
        Ok(response)
    }

    async fn summary(&mut self, stream: Named) -> Result<Response, Response> {
        let describe = self.client.describe_stream_summary();
        let describe = describe.set_stream_name(self.name(stream)).set_stream_arn(self.arn(stream));
        let described = output(describe.send().await)?;
        let mut response = Response::default();
        if let Some(summary) = &described.stream_description_summary {
            summarise(&mut response, summary);
            response.set(
                "StreamCreationTimestamp",
                when(summary.stream_creation_timestamp(), self.creation, Duration::from_secs(1)),
            );
        }
        Ok(response)
    }

    async fn describe(
        &mut self,
        stream: Named,
        limit: Option<i32>,
        after: Option<String>,
    ) -> Result<Response, Response> {
        let describe = self.client.describe_stream().set_stream_name(self.name(stream));
        let describe = describe.set_stream_arn(self.arn(stream));
        let describe = describe.set_limit(limit).set_exclusive_start_shard_id(after);
        let described = output(describe.send().await)?;
        let mut response = Response::default();
        if let Some(description) = &described.stream_description {
            describe_stream(&mut response, description);
            response.set(
                "StreamCreationTimestamp",
                when(
                    description.stream_creation_timestamp(),
                    self.creation,
                    Duration::from_secs(1),
                ),
            );
            self.shards(&mut response, description.shards());
        }
        Ok(response)
    }

    async fn list_shards(&mut self, list: &List, marks: &[DateTime]) -> Result<Response, Response> {
        let page = self.page(list, marks).await?;
        let mut response = Response::default();
        self.shards(&mut response, page.shards());
        response.set_present("NextToken", page.next_token.as_ref());
        self.token = page.next_token;
        Ok(response)
    }

    async fn page(&self, list: &List, marks: &[DateTime]) -> Result<ListShardsOutput, Response> {
        let stream = list.stream.unwrap_or(Named::NotAtAll);
        let request = self.client.list_shards();
        let request = request.set_stream_name(self.name(stream)).set_stream_arn(self.arn(stream));
        let request = request.set_next_token(list.token.map(|token| self.token(token)));
        let request =
            request.set_max_results(list.max).set_exclusive_start_shard_id(list.after.clone());
        let request =
            request.set_stream_creation_timestamp(list.created.and_then(|own| self.created(own)));
        let request =
            request.set_shard_filter(list.filter.as_ref().map(|filter| filter_of(filter, marks)));
        output(request.send().await)
    }

    async fn list_to_the_end(
        &mut self,
        page: i32,
        filter: Option<&Filter>,
        marks: &[DateTime],
    ) -> Result<Response, Response> {
        let (all, pages) = self.all_pages(page, filter, marks).await?;
        let mut response = Response::default();
        self.shards(&mut response, &all);
        response.set(
            "pages",
            if pages == MAX_PAGES { "without end".to_owned() } else { pages.to_string() },
        );
        Ok(response)
    }

    /// Reports the open ranges in one field and the splits and merges that led to them in another,
    /// because AWS does not document the latter.
    async fn open_ranges(&mut self) -> Result<Response, Response> {
        let (all, _) = self.all_pages(MAX_SHARDS, None, &[]).await?;
        // Stores the sequence numbers for later calls.
        self.shards(&mut Response::default(), &all);
        let open = all.iter().filter(|shard| !is_closed(shard));
        let mut open: Vec<_> = open.filter_map(Shard::hash_key_range).collect();
        open.sort_by_key(|range| number(range.starting_hash_key()));
        let ancestry = |shard: &Shard| {
            let parents =
                shard.parent_shard_id().into_iter().chain(shard.adjacent_parent_shard_id());
            format!("{}<{}", shard.shard_id(), parents.collect::<Vec<_>>().join("+"))
        };
        let mut response = Response::default();
        response.set("OpenShards", open.len());
        response
            .set("HashKeyRanges", open.into_iter().map(range_text).collect::<Vec<_>>().join(" "));
        response.set("ParentsFirst", all.iter().map(ancestry).collect::<Vec<_>>().join(" "));
        Ok(response)
    }

    async fn all_pages(
        &self,
        page: i32,
        filter: Option<&Filter>,
        marks: &[DateTime],
    ) -> Result<(Vec<Shard>, usize), Response> {
        let list = List {
            stream: Some(Named::ByName),
            max: Some(page),
            filter: filter.cloned(),
            ..List::default()
        };
        let mut output_page = self.page(&list, marks).await?;
        let mut all = output_page.shards.take().unwrap_or_default();
        let mut pages = 1;
        while let Some(token) = output_page.next_token.take() {
            if pages == MAX_PAGES {
                break;
            }
            let next = self.client.list_shards().next_token(token).max_results(page);
            output_page = output(next.send().await)?;
            all.extend(output_page.shards.take().unwrap_or_default());
            pages += 1;
        }
        Ok((all, pages))
    }

    fn shards(&mut self, response: &mut Response, shards: &[Shard]) {
        let ids: Vec<_> = shards.iter().map(Shard::shard_id).collect();
        response.set("Shards", ids.join(" "));
        for shard in shards {
            let id = shard.shard_id();
            if let Some(parent) = shard.parent_shard_id() {
                response.item("Shards", id, "ParentShardId", parent);
            }
            if let Some(parent) = shard.adjacent_parent_shard_id() {
                response.item("Shards", id, "AdjacentParentShardId", parent);
            }
            if let Some(range) = shard.hash_key_range() {
                response.item("Shards", id, "HashKeyRange", range_text(range));
            }
            if let Some(range) = shard.sequence_number_range() {
                self.sequence_range(response, id, range);
            }
        }
    }

    /// Reports whether the sequence numbers are unique and in order, because each server has its
    /// own numbers.
    fn sequence_range(&mut self, response: &mut Response, id: &str, range: &SequenceNumberRange) {
        let start = range.starting_sequence_number();
        let twin = self.starts.iter().find(|(other, known)| *other != id && *known == start);
        let verdict = match (self.starts.get(id), twin) {
            (Some(known), _) if known != start => "different from before".to_owned(),
            (_, Some((other, _))) => format!("that of {other}"),
            _ => "its own".to_owned(),
        };
        response.item("Shards", id, "StartingSequenceNumber", verdict);
        self.starts.entry(id.to_owned()).or_insert_with(|| start.to_owned());
        if let Some(end) = range.ending_sequence_number() {
            let last = self.last_in(id);
            let verdict = match last {
                _ if number(end) < number(start) => "before its start",
                Some(last) if number(end) < number(last) => "before its last record",
                _ => "at or after its last record",
            };
            response.item("Shards", id, "EndingSequenceNumber", verdict);
        }
    }

    /// Returns the highest sequence number of a record in this shard.
    pub(super) fn last_in(&self, id: &str) -> Option<&str> {
        let of_shard = self.records.values().filter(|stored| stored.shard == id);
        of_shard.map(|stored| stored.sequence.as_str()).max_by_key(|sequence| number(sequence))
    }
}

/// Returns a sort key of a decimal number of any length.
pub(super) fn number(text: &str) -> (usize, &str) {
    let digits = text.trim_start_matches('0');
    (digits.len(), digits)
}

pub(super) fn range_text(range: &HashKeyRange) -> String {
    format!("{}-{}", range.starting_hash_key(), range.ending_hash_key())
}

/// Replaces the account in an ARN, because each server has its own.
fn without_account(arn: &str) -> String {
    let parts: Vec<_> = arn.split(':').collect();
    let account = parts.get(4).copied().unwrap_or_default();
    if account.is_empty() { arn.to_owned() } else { arn.replace(account, "ACCOUNT") }
}

fn filter_of(filter: &Filter, marks: &[DateTime]) -> ShardFilter {
    let built =
        ShardFilter::builder().r#type(filter.kind.clone()).set_shard_id(filter.shard.clone());
    let built = built.set_timestamp(filter.time.map(|time| date(time, marks)));
    built.build().expect("a filter with a type")
}

fn summarise(response: &mut Response, summary: &StreamDescriptionSummary) {
    response.set("StreamName", summary.stream_name());
    response.set("StreamARN", without_account(summary.stream_arn()));
    response.set("StreamStatus", summary.stream_status());
    response
        .set_if("StreamMode", summary.stream_mode_details().map(StreamModeDetails::stream_mode));
    response.set("RetentionPeriodHours", summary.retention_period_hours());
    response.set_if("EncryptionType", summary.encryption_type());
    response.set("EnhancedMonitoring", summary.enhanced_monitoring().len());
    response.set("OpenShardCount", summary.open_shard_count());
    response.set_if("ConsumerCount", summary.consumer_count());
    response.set_if("MaxRecordSizeInKiB", summary.max_record_size_in_kib());
    response.set_present("StreamId", summary.stream_id());
}

fn describe_stream(response: &mut Response, description: &StreamDescription) {
    response.set("StreamName", description.stream_name());
    response.set("StreamARN", without_account(description.stream_arn()));
    response.set("StreamStatus", description.stream_status());
    response.set_if(
        "StreamMode",
        description.stream_mode_details().map(StreamModeDetails::stream_mode),
    );
    response.set("RetentionPeriodHours", description.retention_period_hours());
    response.set_if("EncryptionType", description.encryption_type());
    response.set("EnhancedMonitoring", description.enhanced_monitoring().len());
    response.set("HasMoreShards", description.has_more_shards());
}
