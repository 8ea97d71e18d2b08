//! Which file each name of the API stands in.

use std::collections::HashMap;

pub(crate) use prost_reflect::DescriptorError;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use tonic::Status;
use tonic_reflection::pb::v1::{
    ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse, ServiceResponse,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::service::grpc::status;

/// The descriptors, and the services that are listed.
pub(crate) struct Index {
    pool: DescriptorPool,
    /// The files of everything that has a full name.
    files: HashMap<String, FileDescriptor>,
    services: Vec<String>,
}

impl Index {
    /// Of these encoded sets of descriptors, the first of which counts where two describe the same. Only these services are listed: the descriptors contain
    /// more.
    pub(crate) fn new(sets: &[&[u8]], services: &[&str]) -> Result<Self, DescriptorError> {
        let mut pool = DescriptorPool::new();
        for set in sets {
            let set = DescriptorPool::decode(*set)?;
            // The same message comes in files of several names.
            for file in set.files() {
                if !is_described(&pool, &file) {
                    pool.decode_file_descriptor_proto(&*file.encode_to_vec())?;
                }
            }
        }
        let services = services.iter().map(|&service| service.to_owned()).collect();
        Ok(Self { files: named(&pool), pool, services })
    }

    pub(super) fn answer(&self, asked: &MessageRequest) -> Result<MessageResponse, Status> {
        match asked {
            MessageRequest::FileByFilename(name) => {
                content(self.pool.get_file_by_name(name).as_ref())
            }
            MessageRequest::FileContainingSymbol(symbol) => content(self.files.get(symbol)),
            MessageRequest::FileContainingExtension(wanted) => {
                let number = u32::try_from(wanted.extension_number).ok();
                let extended = self.pool.get_message_by_name(&wanted.containing_type);
                let extension = extended
                    .zip(number)
                    .and_then(|(extended, number)| extended.get_extension(number));
                content(extension.map(|extension| extension.parent_file()).as_ref())
            }
            MessageRequest::AllExtensionNumbersOfType(name) => self.extension_numbers(name),
            MessageRequest::ListServices(_) => {
                let service = self.services.iter();
                let service = service.map(|name| ServiceResponse { name: name.clone() }).collect();
                Ok(MessageResponse::ListServicesResponse(ListServiceResponse { service }))
            }
        }
    }

    fn extension_numbers(&self, name: &str) -> Result<MessageResponse, Status> {
        let extended = self.pool.get_message_by_name(name).ok_or_else(status::not_described)?;
        let numbers = extended.extensions().map(|extension| extension.number().cast_signed());
        Ok(MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
            base_type_name: name.to_owned(),
            extension_number: numbers.collect(),
        }))
    }
}

/// Is something of a file there already?
fn is_described(pool: &DescriptorPool, file: &FileDescriptor) -> bool {
    file.messages().any(|message| pool.get_message_by_name(message.full_name()).is_some())
}

fn content(file: Option<&FileDescriptor>) -> Result<MessageResponse, Status> {
    let file = file.ok_or_else(status::not_described)?;
    let file_descriptor_proto = vec![file.encode_to_vec()];
    Ok(MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto }))
}

fn named(pool: &DescriptorPool) -> HashMap<String, FileDescriptor> {
    let messages = pool.all_messages().flat_map(|message| {
        let file = message.parent_file();
        parts(&message).into_iter().map(move |name| (name, file.clone()))
    });
    let enums = pool.all_enums().flat_map(|kind| {
        let values = kind.values().map(|value| value.full_name().to_owned());
        let names: Vec<_> = values.chain([kind.full_name().to_owned()]).collect();
        names.into_iter().map(move |name| (name, kind.parent_file()))
    });
    let services = pool.services().flat_map(|service| {
        let methods = service.methods().map(|method| method.full_name().to_owned());
        let names: Vec<_> = methods.chain([service.full_name().to_owned()]).collect();
        names.into_iter().map(move |name| (name, service.parent_file()))
    });
    let extensions = pool
        .all_extensions()
        .map(|extension| (extension.full_name().to_owned(), extension.parent_file()));
    messages.chain(enums).chain(services).chain(extensions).collect()
}

/// The full names of a message, its fields and its choices.
fn parts(message: &MessageDescriptor) -> Vec<String> {
    let fields = message.fields().map(|field| field.full_name().to_owned());
    let choices = message.oneofs().map(|choice| choice.full_name().to_owned());
    fields.chain(choices).chain([message.full_name().to_owned()]).collect()
}
