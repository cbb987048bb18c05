# CUDA without its runtime: kernels become bytes in the library, and the driver is found when the
# program runs. Without nvcc the build goes on without CUDA.
option(SLUICE_CUDA "Compile the CUDA parts where nvcc is found" ON)
set(SLUICE_NVCC "")
if(SLUICE_CUDA)
  find_program(SLUICE_NVCC_PROGRAM nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda
               PATH_SUFFIXES bin)
  if(SLUICE_NVCC_PROGRAM)
    set(SLUICE_NVCC ${SLUICE_NVCC_PROGRAM})
    cmake_path(GET SLUICE_NVCC PARENT_PATH cuda_bin)
    cmake_path(GET cuda_bin PARENT_PATH cuda_home)
    set(SLUICE_CUDA_INCLUDE ${cuda_home}/include)
    execute_process(COMMAND ${SLUICE_NVCC} --list-gpu-arch OUTPUT_VARIABLE known)
    set(SLUICE_CUDA_TARGETS "")
    foreach(arch 80 90 100)  # A100, H100 and H200, B200; the newest as PTX too, for what comes.
      if(known MATCHES "compute_${arch}")
        list(APPEND SLUICE_CUDA_TARGETS -gencode=arch=compute_${arch},code=sm_${arch})
        set(newest ${arch})
      endif()
    endforeach()
    list(APPEND SLUICE_CUDA_TARGETS -gencode=arch=compute_${newest},code=compute_${newest})
  endif()
endif()
if(SLUICE_NVCC)
  message(STATUS "CUDA: kernels compiled by ${SLUICE_NVCC}, newest for sm_${newest}")
else()
  message(STATUS "CUDA: built without it (no nvcc); GPU memory is refused")
endif()

# sluice_embed_kernels(<target> <file.cu> <symbol>): compiles the file and makes its bytes a symbol
# of the target.
function(sluice_embed_kernels target source symbol)
  cmake_path(GET source STEM name)
  set(fatbin ${CMAKE_CURRENT_BINARY_DIR}/${name}.fatbin)
  add_custom_command(OUTPUT ${fatbin}
    COMMAND ${SLUICE_NVCC} -std=c++20 --expt-relaxed-constexpr -O3 -fatbin ${SLUICE_CUDA_TARGETS} -I${PROJECT_SOURCE_DIR}
            -MD -MF ${fatbin}.d -o ${fatbin} ${CMAKE_CURRENT_SOURCE_DIR}/${source}
    DEPENDS ${source} DEPFILE ${fatbin}.d COMMENT "Compiling kernels of ${source}" VERBATIM)
  set(bytes ${CMAKE_CURRENT_BINARY_DIR}/${name}_fatbin.cc)
  file(CONFIGURE OUTPUT ${bytes} @ONLY CONTENT [[
asm(".section .rodata\n.balign 16\n.globl @symbol@\n.hidden @symbol@\n@symbol@:\n"
    ".incbin \"@fatbin@\"\n.previous\n");
]])
  set_source_files_properties(${bytes} PROPERTIES OBJECT_DEPENDS ${fatbin})
  target_sources(${target} PRIVATE ${bytes} ${fatbin})
endfunction()
